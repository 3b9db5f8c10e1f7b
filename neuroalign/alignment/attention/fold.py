"""Cross-attention in one fold: of one subject, or of several that share one network.

Nuisance features are fitted first, by ridge regression in the training samples of a fold; attention learns
what they leave, and the prediction is their sum. The first inner fold says when to stop learning. There is
one score for all layers together: what each adds is what r loses without it in the held-out samples.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from neuroalign import metrics
from neuroalign.alignment.attention.listener import Listener
from neuroalign.alignment.evaluation.scored import fold_scores
from neuroalign.alignment.fitting.fold import FoldFit
from neuroalign.alignment.fitting.ridge import FoldRidge, fit_ridge, refitted
from neuroalign.design.features import unit_band
from neuroalign.design.folds import Fold
from neuroalign.encoders.attention.tokens import Tokens
from neuroalign.encoders.cross_attention import CrossAttentionEncoder
from neuroalign.errors import DataError
from neuroalign.settings.encoders import CrossAttention

log = logging.getLogger("neuroalign")


@dataclass(frozen=True)
class FoldNuisance:
    """The nuisance features alone, as cross-attention fits them before it begins."""

    alphas: Sequence[float]

    makes_lags = False
    coordinates: ClassVar[dict[str, Any]] = {}

    @property
    def attributes(self) -> dict[str, Any]:
        """None."""
        return {}

    def extras(self, control: bool) -> dict[str, tuple[str, ...]]:
        """None."""
        return {}

    def fit_fold(
        self,
        observed: np.ndarray,
        nuisance: np.ndarray,
        network: np.ndarray | None,
        fold: Fold,
        blanks: int = 0,
    ) -> FoldFit:
        """See `FoldEncoder.fit_fold`."""
        fitted = FoldRidge(self.alphas).fit_fold(observed, nuisance, None, fold, blanks)
        return FoldFit(fitted.predicted, fitted.cv_r, {})


@dataclass(frozen=True)
class FoldAttention:
    """Cross-attention with the study's settings, ready for any fold.

    Attributes
    ----------
    settings : CrossAttention
        With it decided who asks.
    alphas : sequence of float
        Penalties of the nuisance features.
    seed : int
    """

    settings: CrossAttention
    alphas: Sequence[float]
    seed: int

    @property
    def attributes(self) -> dict[str, Any]:
        """Settings to be kept with the scores."""
        given = self.settings
        kept = {name: getattr(given, name) for name in ("window_s", "queries", "width", "embedding")}
        return kept | {"universal": int(given.universal)}

    def network(self) -> CrossAttentionEncoder:
        """The encoder, not fitted yet."""
        given = self.settings
        return CrossAttentionEncoder(
            queries="prototype" if given.queries == "prototype" else "voxel",
            width=given.width,
            embedding=given.embedding,
            steps=given.steps,
            device=_device(given.device),
            seed=self.seed,
        )

    def fit_fold(self, listeners: Mapping[str, Listener], number: int, state: Path) -> dict[str, xr.Dataset]:
        """Fit one outer fold of all listeners together; predict and score what it holds out of each.

        Parameters
        ----------
        listeners : mapping of subject to Listener
        number : int
            Of the fold.
        state : Path
            Folder in which training that was cut short is taken up.

        Returns
        -------
        dict of Dataset
            By subject: scores (target,), `importance` (source_layer, target), `field` (place, target), and
            predictions of the test samples and of those that stopped training.
        """
        bases = {name: self._bases(each, each.folds[number]) for name, each in listeners.items()}
        shown, stop = {}, {}
        for name, each in listeners.items():
            rows, stop[name] = _learned(each.folds[number])
            shown[name] = each.tokens.at(rows), (each.observed - bases[name][1])[rows]
        encoder = _resumed(self.network(), shown, stop, state)
        return {
            name: self._scored(encoder, name, each, number, bases[name]) for name, each in listeners.items()
        }

    def _bases(self, listener: Listener, fold: Fold) -> tuple[np.ndarray, np.ndarray]:
        """What nuisance features predict of all samples (n_samples, n_targets).

        Fitted to all training samples, and to those that attention learns from.
        """
        observed, nuisance = listener.observed, listener.design.nuisance
        rows = fold.train, fold.train[fold.inner[0][0]]
        if not nuisance.shape[1]:
            means = (observed[each].mean(axis=0, dtype=np.float64).astype(np.float32) for each in rows)
            whole, part = (np.broadcast_to(mean, observed.shape) for mean in means)
            return whole, part
        features = unit_band(nuisance, fold.train)
        fitted = fit_ridge(features, observed, fold, self.alphas)
        part = refitted(unit_band(nuisance, rows[1]), observed, rows[1], fitted.best_alphas_)
        return fitted.predict(features).astype(np.float32), part

    def _scored(
        self,
        encoder: CrossAttentionEncoder,
        name: str,
        listener: Listener,
        number: int,
        bases: tuple[np.ndarray, np.ndarray],
    ) -> xr.Dataset:
        """Scores and predictions of a fold."""
        fold, observed, tokens = listener.folds[number], listener.observed, listener.tokens
        inner = fold.train[fold.inner[0][1]]
        added = listener.without_drifts(encoder.predict(tokens, name))
        predicted, stopped = (
            base[rows] + added[rows] for base, rows in zip(bases, (fold.test, inner), strict=True)
        )
        nuisance = listener.design.nuisance
        found = fold_scores(predicted, observed, fold, nuisance)
        found["cv_r"] = np.nan_to_num(metrics.pearson(stopped, observed[inner]))
        left = observed[fold.test] - bases[0][fold.test]
        importance = encoder.layer_importance(tokens.at(fold.test), left, name)
        fields = encoder.fields(name, positions=listener.reach)
        data: dict[str, Any] = {
            **{score: ("target", values.astype(np.float32)) for score, values in found.items()},
            "importance": (("source_layer", "target"), importance.astype(np.float32)),
            "field": (("place", "target"), _over_layers(list(fields.values()), importance)),
            "prediction": (("held", "target"), predicted.astype(np.float32)),
            "inner_prediction": (("inner", "target"), stopped.astype(np.float32)),
        }
        return xr.Dataset(data, {"inner_sample": ("inner", inner)})


def _learned(fold: Fold) -> tuple[np.ndarray, np.ndarray]:
    """Samples of a training fold that are learned from or stop learning, and which of these stop it.

    The first inner fold is held out for that; samples within its gap take no part.
    """
    train, test = fold.inner[0]
    used = np.sort(np.concatenate([train, test]))
    return fold.train[used], np.searchsorted(used, test)


def _resumed(
    encoder: CrossAttentionEncoder,
    shown: Mapping[str, tuple[Tokens, np.ndarray]],
    stop: Mapping[str, np.ndarray],
    state: Path,
) -> CrossAttentionEncoder:
    """Fit, from where an earlier run left off if that was of the same data."""
    state.parent.mkdir(parents=True, exist_ok=True)
    try:
        return encoder.fit(shown, validation=stop, checkpoint=state)
    except DataError:
        if not state.exists():
            raise
        log.info("%s: discarded, training begins anew", state.name)
        shutil.rmtree(state)
        return encoder.fit(shown, validation=stop, checkpoint=state)


def _over_layers(fields: Sequence[np.ndarray], importance: np.ndarray) -> np.ndarray:
    """Fields (n_places, n_targets), a mean over layers weighted by how much r is lost without each."""
    weight = np.maximum(importance, 0)
    weight = np.where(weight.sum(axis=0) > 0, weight, 1.0)
    weight /= weight.sum(axis=0)
    return np.einsum("lt,ltd->dt", weight, np.stack(fields)).astype(np.float32)


def _device(wanted: str) -> str:
    """Where to compute: on a GPU, if there is one, where nothing else is asked for."""
    import torch

    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"

"""Cross-attention and ridge regression stacked: each target listens to whichever predicts it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from neuroalign.artefacts.arrays import save_json
from neuroalign.artefacts.atomic import replacing
from neuroalign.encoders import store
from neuroalign.encoders.attention.people import checked_responses, people_of
from neuroalign.encoders.attention.tokens import Pool, Tokens
from neuroalign.encoders.blend import blend
from neuroalign.encoders.cross_attention import CrossAttentionEncoder
from neuroalign.encoders.ridge import RidgeEncoder
from neuroalign.encoders.scores import scored
from neuroalign.encoders.solvers.arguments import Metric
from neuroalign.encoders.solvers.features import check_features
from neuroalign.encoders.solvers.rows import Pairs, check_folds
from neuroalign.errors import DataError, choices


class StackedEncoder(BaseEstimator):
    """A convex mix of cross-attention and ridge regression, per target (Breiman 1996; Lin et al. 2023).

    Both predict every sample from fits without it; that says how much of each a target gets, shrunk to what
    all targets of a subject get (`blend`). What is predicted for new samples is the mean of the networks of
    the folds, beside a ridge regression fitted to all samples.

    Parameters
    ----------
    attention : CrossAttentionEncoder, optional
    ridge : RidgeEncoder, optional
        Both are cloned, and not changed; by default as they come.
    folds : int or iterable of (train, test) index pairs, or mapping of subjects to such
        Contiguous blocks, or your own: for time series hold out whole runs. Every sample is predicted at
        most once. There are as many networks as folds.
    pool : {"flatten", "mean"}
        How tokens become features of the ridge regression, where `fit` is given none.

    Attributes
    ----------
    subjects_ : list of str
    weights_ : dict of arrays (n_targets,)
        Of the network, by subject, from 0 to 1; a map.
    networks_ : list of CrossAttentionEncoder
        One per fold.
    ridges_ : dict of RidgeEncoder
        By subject.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> images = {"layer.3": rng.standard_normal((80, 9, 8), dtype=np.float32)}
    >>> responses = images["layer.3"][:, 4, :2] + 0.1 * rng.standard_normal((80, 2))
    >>> encoder = StackedEncoder(CrossAttentionEncoder(steps=50, threads=1), folds=2).fit(images, responses)
    >>> encoder.predict(images).shape, encoder.weights_[""].shape
    ((80, 2), (2,))
    """

    def __init__(
        self,
        attention: CrossAttentionEncoder | None = None,
        ridge: RidgeEncoder | None = None,
        folds: int | Iterable[tuple[np.ndarray, np.ndarray]] | Mapping[str, Any] = 3,
        pool: Pool = "flatten",
    ) -> None:
        self.attention = attention
        self.ridge = ridge
        self.folds = folds
        self.pool = pool

    def fit(
        self, tokens: Any, Y: Any = None, features: Any = None, checkpoint: str | Path | None = None
    ) -> StackedEncoder:
        """Fit networks and ridge regressions, and weigh them.

        Parameters
        ----------
        tokens, Y
            As `CrossAttentionEncoder.fit` takes them: of one subject, or subject → (tokens, Y).
        features : array (n_samples, n_features), or mapping of subjects to such, optional
            For the ridge regression; made of the tokens by default.
        checkpoint : path, optional
            Folder for the state of training, as in `CrossAttentionEncoder.fit`.

        Returns
        -------
        StackedEncoder
            Itself.

        Raises
        ------
        DataError
            As both encoders; or subjects have different numbers of folds, or features of other samples.
        """
        if self.pool not in ("flatten", "mean"):
            raise DataError(f"pool is '{self.pool}'; {choices(self.pool, ('flatten', 'mean'))}")
        people = people_of(tokens, Y)
        observed = {name: checked_responses(each, len(shown), name) for name, (shown, each) in people.items()}
        given = {name: self._features(name, shown, features) for name, (shown, _) in people.items()}
        pairs = self._pairs({name: len(shown) for name, (shown, _) in people.items()})
        folder = None if checkpoint is None else Path(checkpoint)
        held = {name: np.full(each.shape, np.nan) for name, each in observed.items()}
        beside = {name: np.full(each.shape, np.nan) for name, each in observed.items()}
        self.networks_ = []
        for fold in range(len(next(iter(pairs.values())))):
            parts = {name: each[fold] for name, each in pairs.items()}
            network = self._network(people, observed, parts, None if folder is None else folder / str(fold))
            self.networks_.append(network)
            for name, (train, test) in parts.items():
                shown = people[name][0].at(test)
                held[name][test] = network.predict(shown, name).reshape(len(test), -1)
                fitted = self._regression().fit(given[name][train], observed[name][train])
                beside[name][test] = fitted.predict(given[name][test])
        self.ridges_ = {name: self._regression().fit(given[name], each) for name, each in observed.items()}
        self.weights_ = {}
        for name, each in observed.items():
            rows = np.isfinite(held[name]).all(axis=1)
            self.weights_[name] = blend(held[name][rows], beside[name][rows], each[rows], in_turn=True)
        self._single = {name: np.ndim(each) == 1 for name, (_, each) in people.items()}
        return self

    @property
    def subjects_(self) -> list[str]:
        """Names of the subjects; "" for one without."""
        check_is_fitted(self, "weights_")
        return list(self.weights_)

    def predict(self, tokens: Any, subject: str | None = None, features: Any = None) -> np.ndarray:
        """Predicted responses (n_samples, n_targets), or (n_samples,) after a fit to such.

        `features` are needed if they were given to `fit`.
        """
        check_is_fitted(self, "weights_")
        name = self.networks_[0]._named(subject)
        shown = self.networks_[0]._known(tokens)
        predictions = [network.predict(shown, name).reshape(len(shown), -1) for network in self.networks_]
        beside = self.ridges_[name].predict(self._features(name, shown, features))
        weight = self.weights_[name]
        found = (weight * np.mean(predictions, axis=0) + (1 - weight) * beside).astype(np.float32)
        return found[:, 0] if self._single[name] else found

    def score(
        self, tokens: Any, Y: Any, subject: str | None = None, metric: Metric = "r", features: Any = None
    ) -> np.ndarray:
        """Score per target (n_targets,): Pearson r, or R² against the mean of Y; NaN if Y is constant."""
        found = self.predict(tokens, subject, features)
        observed = checked_responses(Y, len(found), subject or "")
        return scored(found, observed, metric)

    def save(self, path: str | Path) -> None:
        """Write the fitted encoder to a folder, one part of it to each folder inside."""
        check_is_fitted(self, "weights_")
        with replacing(path) as folder:
            folder.mkdir()
            for number, network in enumerate(self.networks_):
                network.save(folder / f"network-{number}")
            for number, ridge in enumerate(self.ridges_.values()):
                ridge.save(folder / f"ridge-{number}")
            known = {
                "encoder": type(self).__name__,
                "networks": len(self.networks_),
                "pool": self.pool,
                "weights": {name: weight.tolist() for name, weight in self.weights_.items()},
                "single": self._single,
            }
            save_json(known, folder / store.SETTINGS)

    @classmethod
    def load(cls, path: str | Path) -> StackedEncoder:
        """Read an encoder that was saved; it predicts and scores as before, with the folds by default.

        Raises
        ------
        DataError
            The folder holds no such encoder, or its files are damaged.
        """
        known = store.settings(path, cls.__name__)
        try:
            weights = {name: np.array(each, float) for name, each in known["weights"].items()}
            count, pool, single = int(known["networks"]), known["pool"], dict(known["single"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: not a saved {cls.__name__} ({error})") from None
        networks = [CrossAttentionEncoder.load(Path(path) / f"network-{number}") for number in range(count)]
        ridges = {
            name: RidgeEncoder.load(Path(path) / f"ridge-{number}") for number, name in enumerate(weights)
        }
        encoder = cls(clone(networks[0]), clone(next(iter(ridges.values()))), pool=pool)
        encoder.networks_, encoder.ridges_, encoder.weights_ = networks, ridges, weights
        encoder._single = single
        return encoder

    def _network(
        self,
        people: Mapping[str, tuple[Tokens, Any]],
        observed: Mapping[str, np.ndarray],
        parts: Mapping[str, tuple[np.ndarray, np.ndarray]],
        folder: Path | None,
    ) -> CrossAttentionEncoder:
        """The network of one fold."""
        network = CrossAttentionEncoder() if self.attention is None else clone(self.attention)
        given = {
            name: (shown.at(parts[name][0]), observed[name][parts[name][0]])
            for name, (shown, _) in people.items()
        }
        return network.fit(given, checkpoint=folder)

    def _regression(self) -> RidgeEncoder:
        return RidgeEncoder() if self.ridge is None else clone(self.ridge)

    def _features(self, name: str, shown: Tokens, features: Any) -> np.ndarray:
        """What ridge regression sees of a subject."""
        given = features.get(name) if isinstance(features, Mapping) else features
        if given is None:
            return shown.features(self.pool)
        found = check_features(given)
        if len(found) != len(shown):
            raise DataError(
                f"features of subject '{name}' have {len(found)} samples; expected {len(shown)} as the tokens"
            )
        return found

    def _pairs(self, lengths: Mapping[str, int]) -> dict[str, Pairs]:
        """Folds of every subject, as many for all."""
        given = self.folds if isinstance(self.folds, Mapping) else dict.fromkeys(lengths, self.folds)
        missing = [name for name in lengths if name not in given]
        if missing:
            raise DataError(f"folds have no subject '{missing[0]}'; {choices(missing[0], tuple(given))}")
        if not isinstance(self.folds, Mapping | int):
            listed = list(self.folds)
            given = {name: listed for name in lengths}
        pairs = {name: check_folds(given[name], n) for name, n in lengths.items()}
        counts = {name: len(each) for name, each in pairs.items()}
        if len(set(counts.values())) > 1:
            raise DataError(f"subjects have {counts} folds; give as many to all")
        for name, each in pairs.items():
            tested = np.bincount(np.concatenate([test for _, test in each]), minlength=lengths[name])
            if tested.max() > 1:
                raise DataError(f"folds of subject '{name}' test a sample more than once; expected once")
        return pairs

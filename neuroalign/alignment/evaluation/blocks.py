"""Fits too large for the memory allowed: block after block of targets, then joined on disk.

A target's fit depends on no other target, but for one thing: the grid of penalties is widened where too
many targets choose its end, which each block decides by itself.
"""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5netcdf
import numpy as np
import xarray as xr

from neuroalign.alignment.inference.blanks import blanks_of
from neuroalign.artefacts.arrays import open_arrays, save_arrays
from neuroalign.artefacts.atomic import replacing
from neuroalign.errors import DataError

log = logging.getLogger("neuroalign")

FIT_BASE = 245 * 2**20
"""Bytes that a fit takes for its libraries alone."""

ZARR_BYTES = 55 * 2**20
"""What reading activations takes more."""

SCORE_KINDS = {"ridge": 10, "banded_ridge": 26, "cross_attention": 12, "stack": 12}
"""Numbers kept of a target, layer and fold, by encoder."""

TARGET_COPIES = 6.5
"""How often the responses of a block are held at once: read, chosen, predicted, scored."""

LEAST_TARGETS = 256
"""Fewer targets at a time would spend all time on decompositions."""

SAFETY = 0.85
"""Share of the memory allowed that is planned for."""


@dataclass(frozen=True)
class FitSize:
    """How large a fit by layers is.

    Attributes
    ----------
    targets : int
    read : int
        Samples that are read.
    samples : int
        Samples that are fitted: fewer where repeats are averaged.
    features : int
        Of the widest layer, nuisance among them.
    scores : int
        Numbers kept of a target, over layers and folds.
    more : float
        Bytes that it holds beside: the design, and libraries that not every fit needs.
    banded : bool
        Several weightings of the bands are decomposed.
    """

    targets: int
    read: int
    samples: int
    features: int
    scores: int
    more: float = 0.0
    banded: bool = False

    @property
    def fixed(self) -> float:
        """Bytes that it holds whatever the number of targets at a time.

        Features stand in memory as they are, scaled in float64, and cut to the training samples of a fold;
        Gram matrices and eigenvectors are float64; scores are kept of all targets.
        """
        order = min(self.samples, max(self.features, 1))
        matrices = (16 if self.banded else 8) * 8 * order**2
        beside = self.each * blanks_of(self.samples)
        return FIT_BASE + self.more + 22 * self.samples * self.features + matrices + beside

    @property
    def each(self) -> float:
        """Bytes that it holds of one target: its responses, weights and scores."""
        averaged = 12 * self.read if self.read > self.samples else 0
        rank = min(self.samples, max(self.features, 1))
        return 4 * TARGET_COPIES * self.samples + 4 * rank + 8 * self.scores + averaged

    def memory(self, at_once: int) -> float:
        """Bytes with so many targets at a time; the scores of all of them are joined in the end."""
        joined = 8 * self.scores * self.targets if at_once < self.targets else 0
        return self.fixed + self.each * at_once + joined

    def blocks(self, budget: float | None) -> list[slice]:
        """Targets divided so that a block of them fits the budget in bytes; None takes all at once.

        Raises
        ------
        DataError
            The budget does not suffice for any number of targets.
        """
        if budget is None or self.memory(self.targets) <= budget:
            return [slice(0, self.targets)]
        width = int((SAFETY * budget - self.memory(0)) // self.each)
        if width < min(LEAST_TARGETS, self.targets):
            needed = self.memory(LEAST_TARGETS) / SAFETY
            raise DataError(
                f"resources.memory is {budget / 1e9:.3g} GB, but this fit needs {needed / 1e9:.3g} GB "
                "however few targets it takes at once; raise it, or fit fewer features"
            )
        edges = np.linspace(0, self.targets, -(-self.targets // width) + 1).astype(int)
        return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def fit_in_blocks(
    fit: Callable[[slice, Path], tuple[xr.Dataset, xr.Dataset]],
    blocks: list[slice],
    partial: Path,
    fingerprint: str,
) -> xr.Dataset:
    """Fit block after block; keep each, so that a killed job goes on with the next.

    Parameters
    ----------
    fit : function of a block and of a folder for what is unfinished
        Gives scores and predictions of the block.
    blocks : list of slice
    partial : Path
        Folder where finished blocks are kept; `join_predictions` reads them, the caller removes it.
    fingerprint : str
        Blocks made from something else are made anew.

    Returns
    -------
    Dataset
        The scores of all targets.
    """
    scores = []
    for number, block in enumerate(blocks):
        path, marked = partial / _PREDICTIONS.format(number), f"{fingerprint} {block.start}:{block.stop}"
        kept = partial / _SCORES.format(number)
        if kept.exists() and (found := open_arrays(kept)).attrs.pop("fingerprint", "") == marked:
            log.info("targets %d to %d were fitted before; going on after them", block.start, block.stop)
        else:
            found, predictions = fit(block, partial / f"block-{number:03d}")
            save_arrays(predictions, path)
            del predictions
            save_arrays(found.assign_attrs(fingerprint=marked), kept)
        scores.append(found)
    most = max(scores, key=lambda one: int(one["valid"].sum()))
    joined = xr.concat(
        scores, "target", data_vars="minimal", coords="minimal", compat="override", join="override"
    )
    return joined.assign_attrs(most.attrs)


def join_predictions(blocks: list[slice], partial: Path, path: str | Path, **attributes: str) -> None:
    """Join the predictions of all blocks into one file, holding one block at a time."""
    parts = [partial / _PREDICTIONS.format(number) for number in range(len(blocks))]
    beside = []
    for part in parts:
        with xr.open_dataset(part, engine="h5netcdf") as found:
            # Without its encoding: names of the first block may be shorter than others, which would be cut.
            beside.append(found.drop_vars("prediction").load().drop_encoding())
            samples = found.sizes["sample"]
    whole = xr.concat(
        beside, "target", data_vars="minimal", coords="minimal", compat="override", join="override"
    )
    with replacing(path) as temporary:
        whole.assign_attrs(beside[0].attrs | attributes).to_netcdf(temporary, engine="h5netcdf")
        with h5netcdf.File(temporary, "a") as file:
            shape = ("sample", "target")
            stored = file.create_variable("prediction", shape, np.float32, fillvalue=np.float32(np.nan))
            for part, block in zip(parts, blocks, strict=True):
                stored[:samples, block] = open_arrays(part)["prediction"].values


def discard(partial: Path) -> None:
    """Remove what was kept of unfinished blocks."""
    shutil.rmtree(partial, ignore_errors=True)


_SCORES, _PREDICTIONS = "scores-{:03d}.nc", "predictions-{:03d}.nc"

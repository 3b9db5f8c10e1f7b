"""Which targets a network predicts beyond the nuisance features, and beyond chance.

The statistic is the held-out correlation that is unique to the network (nuisance projected out of
prediction and response in every fold, folds averaged). Its null keeps the autocorrelation of both
sides: the response of each held-out run is shifted in a circle, or its blocks are permuted,
against the prediction, by the same amount for all targets. Of trials, held-out items are put in a
random order, repeats of one staying together, and shifted in a circle. Nothing is fitted anew, since
in one fold the prediction is independent of the noise of what is held out.

Folds are not independent of each other, though. A linear prediction of run i from the others is
Σ_j H_ij y_j, so fold i scores Σ_j y_i' H_ij y_j. Every pair of runs comes up twice, as y_i' H_ij y_j
when i is held out and as y_j' H_ji y_i when j is. Without signal the two are all but the same number
(H_ji ≈ H_ij'), so that the mean over folds has up to twice the variance that independent folds would
have, whatever their number. Shifting each fold by itself loses this; the null is therefore widened: by
what targets that were moved before they were fitted say (see `blanks`), or, of encoders that do not fit
them, by √2, and by more where every fold has chosen among layers (see `choosing`). Without it, one in seven
targets of pure noise passes at p ≤ .05.

Nuisance features take room: n samples with k of them projected out have n − 1 − k degrees of freedom, and
two sides in that little room correlate more by chance than a side that is moved out of it again. The
correlation with a moved response is therefore taken over the length of what the nuisance leaves of it.

Of EEG and MEG, neighbouring channels and latencies may be looked at together (see `clusters`). For that
the null of every target is kept, in units of its own spread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
import scipy.stats
import xarray as xr

from neuroalign.alignment.inference.adjacency import Adjacency, adjacency
from neuroalign.alignment.inference.choosing import width
from neuroalign.alignment.inference.clusters import Neighbours, corrected
from neuroalign.artefacts.arrays import place_attributes, target_coordinates
from neuroalign.design.trials import are_trials
from neuroalign.metrics import nuisance_basis, residual
from neuroalign.settings.statistics import CLUSTERED, Inference

BLOCK = 1024
"""Targets tested at once; bounds the memory of the null distributions."""

DECISIVE = {"fdr": "q", "max": "p_max", "cluster": "p_cluster", "tfce": "p_tfce"}
"""Correction → the p-value that decides whether a target is significant."""

NOT_OF_TESTS = {"cluster_level", "bootstraps"}
"""Settings of inference that no test, or only one by clusters, depends on."""

SHARED_PAIRS = np.sqrt(2)
"""How much wider the mean over folds spreads than that of independent folds; see above."""

TRIED = 16
"""Moves from which it is learned how much of a moved response the nuisance leaves."""


@dataclass(frozen=True)
class Segment:
    """Samples that change places among each other in the null.

    Attributes
    ----------
    samples : int array
        In the order in which they are shifted.
    repeats : int
        So many in a row belong together: trials of one item.
    """

    samples: np.ndarray
    repeats: int = 1

    def __len__(self) -> int:
        return len(self.samples) // self.repeats

    def joined(self, predicted: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean prediction and summed response (places, n_targets) of what belongs together."""
        shape = (len(self), self.repeats, predicted.shape[1])
        return predicted.reshape(shape).mean(axis=1), observed.reshape(shape).sum(axis=1)

    def moved(self, observed: np.ndarray, order: np.ndarray) -> np.ndarray:
        """The response (n_samples, n_targets) shifted by a number, or its blocks in another order."""
        if order.ndim == 0:
            return np.roll(observed, int(order) * self.repeats, axis=0)
        length = len(observed) // len(order)
        blocks = [observed[place * length : (place + 1) * length] for place in order]
        return np.concatenate([*blocks, observed[length * len(order) :]])


def test(predictions: xr.Dataset, responses: xr.Dataset, settings: Inference, seed: int) -> xr.Dataset:
    """Test every target of one subject, network and encoder.

    Predictions and responses are asked for block by block of targets, and may be read from files as they are.

    Parameters
    ----------
    predictions : Dataset
        Held-out predictions with their folds and nuisance features; their attribute `n_layers` says among
        how many layers every fold chose, `width`, where it is there, how wide the mean over folds is.
    responses : Dataset
        Of the same subject.
    settings : Inference
    seed : int

    Returns
    -------
    Dataset
        `r_unique`, `p` (one-sided), `q` (Benjamini-Hochberg over valid targets), `p_max` (maximum
        statistic over targets, family-wise), `significant` by the correction chosen. Where that looks at
        neighbours, also what `clusters.corrected` gives, and for the test of a group `score_z` (target) and
        `null_z` (permutation, target).

    Raises
    ------
    DataError
        The correction looks at neighbours, and the targets are no channels.
    """
    near = adjacency(responses) if settings.correction in CLUSTERED else None
    valid = responses["valid"].values
    rng = np.random.default_rng(seed)
    if are_trials(responses):
        segments = items_held_out(predictions["fold"].values, responses["content"].values, rng)
    else:
        segments = runs_held_out(predictions["fold"].values, predictions["run"].values)
    widened = SHARED_PAIRS * _width(predictions.attrs, len(segments)) / width(1, 1)
    nuisance = predictions["nuisance"].values
    times = None if are_trials(responses) else predictions["time_s"].values
    moves = [[_moves_of(part, times, settings, rng) for part in fold] for fold in segments]
    observed = np.full(len(valid), np.nan)
    p = np.full(len(valid), np.nan)
    highest = np.full(settings.permutations, -np.inf)
    columns = np.flatnonzero(valid)
    kept = None if near is None else np.empty((1 + settings.permutations, len(columns)), np.float16)
    for start in range(0, len(columns), BLOCK):
        block = columns[start : start + BLOCK]
        sides = Sides(_of(predictions["prediction"], block), _of(responses["response"], block))
        statistic, null = null_scores(sides, nuisance, segments, moves, widened)
        observed[block] = statistic
        p[block] = (1 + (null >= statistic - 1e-12).sum(axis=0)) / (1 + settings.permutations)
        np.maximum(highest, null.max(axis=1), out=highest)
        if kept is not None:
            kept[:, start : start + BLOCK] = standardised(statistic, null)
    p_max = np.full(len(valid), np.nan)
    highest.sort()
    above = settings.permutations - np.searchsorted(highest, observed[columns] - 1e-12)
    p_max[columns] = (1 + above) / (1 + settings.permutations)
    q = np.full(len(valid), np.nan)
    if len(columns):
        q[columns] = scipy.stats.false_discovery_control(p[columns])
    data = {"r_unique": observed, "p": p, "q": q, "p_max": p_max}
    more, notes = ({}, {}) if kept is None or near is None else _by_neighbours(kept, near, valid, settings)
    data |= {name: more[name][1] for name in more if name in DECISIVE.values()}
    return xr.Dataset(
        {name: ("target", values.astype(np.float32)) for name, values in data.items()}
        | more
        | {"significant": ("target", significant(data, settings))},
        target_coordinates(responses),
        place_attributes(responses)
        | {f"inference_{key}": value for key, value in settings.model_dump(exclude=NOT_OF_TESTS).items()}
        | {"inference_widened": float(widened)}
        | notes
        | ({"inference_method": "item"} if are_trials(responses) else {}),
    )


def _of(array: xr.DataArray, targets: np.ndarray) -> np.ndarray:
    """Values (n_samples, n) of some targets, ascending; from a file only what lies among them is read."""
    first = targets[0]
    return array[:, first : targets[-1] + 1].values[:, targets - first]


def _by_neighbours(
    kept: np.ndarray, near: Adjacency, valid: np.ndarray, settings: Inference
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What neighbours tell together, from the z of data and permutations; and what to note of it."""
    threshold = float(scipy.stats.norm.isf(settings.cluster_level))
    made = corrected(kept[0], kept[1:], Neighbours.of(near.matrix), settings.correction, threshold)
    found = among_targets(made, valid)
    found["score_z"] = ("target", _full(kept[:1], valid)[0])
    found["null_z"] = (("permutation", "target"), _full(kept[1:], valid))
    return found, {"inference_cluster_level": settings.cluster_level, "inference_notes": list(near.notes)}


def standardised(statistic: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Statistics (n_targets,) and their null (n_permutations, n_targets), in units of their spread.

    Data and permutations are treated alike, or else chance in the spread of few permutations would make the
    data stand out more often than it should.

    Returns
    -------
    array (1 + n_permutations, n_targets)
        First the statistic, then the null; 0 where there is no spread. In half precision.
    """
    both = np.concatenate([statistic[None], null])
    spread = both.std(axis=0, dtype=float)
    unit = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-12)
    return ((both - both.mean(axis=0, dtype=float)) * unit).astype(np.float16)


def among_targets(values: Mapping[str, np.ndarray], tested: np.ndarray) -> dict[str, Any]:
    """Values of tested targets among all; the others are NaN, or 0 where whole numbers count something."""
    found: dict[str, Any] = {}
    for name, of_tested in values.items():
        whole = of_tested.dtype.kind == "i"
        full = np.zeros(len(tested), np.int16) if whole else np.full(len(tested), np.nan, np.float32)
        full[tested] = of_tested
        found[name] = ("target", full)
    return found


def _full(rows: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Rows (n, n_valid) among all targets, NaN where they were not tested."""
    full = np.full((len(rows), len(valid)), np.nan, rows.dtype)
    full[:, valid] = rows
    return full


def significant(found: Mapping[str, np.ndarray], settings: Inference) -> np.ndarray:
    """Which targets (n_targets,) pass the correction chosen; one that was not tested (NaN) never does.

    Parameters
    ----------
    found : mapping of name to array (n_targets,)
        Has the p-value that is `DECISIVE`.
    settings : Inference
    """
    return np.nan_to_num(found[DECISIVE[settings.correction]], nan=1.0) <= settings.level


def _width(attributes: Mapping[str, Any], n_folds: int) -> float:
    """How wide the mean over folds is: as measured, or by the model of layers that have nothing in common."""
    if "width" in attributes:
        return float(attributes["width"])
    return width(n_folds, int(attributes.get("n_layers", 1)))


def items_held_out(fold: np.ndarray, contents: np.ndarray, rng: np.random.Generator) -> list[list[Segment]]:
    """For every fold its items in random order, those with as many repeats in one segment."""
    found = []
    for number in range(int(fold.max()) + 1):
        samples = np.flatnonzero(fold == number)
        samples = samples[np.argsort(contents[samples], kind="stable")]
        items = np.split(samples, np.flatnonzero(np.diff(contents[samples])) + 1)
        by_count: dict[int, list[np.ndarray]] = {}
        for place in rng.permutation(len(items)):
            by_count.setdefault(len(items[place]), []).append(items[place])
        found.append([Segment(np.concatenate(same), count) for count, same in sorted(by_count.items())])
    return found


def runs_held_out(fold: np.ndarray, runs: np.ndarray) -> list[list[Segment]]:
    """For every fold the runs (or parts of runs) it holds out, as contiguous sample indices."""
    run, found = runs.astype(str), []
    for number in range(int(fold.max()) + 1):
        samples = np.flatnonzero(fold == number)
        cuts = np.flatnonzero((np.diff(samples) > 1) | (run[samples][1:] != run[samples][:-1])) + 1
        found.append([Segment(part) for part in np.split(samples, cuts)])
    return found


def _moves_of(
    segment: Segment, times: np.ndarray | None, settings: Inference, rng: np.random.Generator
) -> np.ndarray:
    """Circular shifts as one number each, or block permutations as one order of blocks each."""
    n = len(segment)
    if times is None or settings.method == "circular_shift":
        return rng.integers(0, n, settings.permutations)
    times = times[segment.samples]
    step = (times[-1] - times[0]) / max(n - 1, 1) or 1.0
    n_blocks = max(2, int(n * step // settings.block_s))
    return rng.permuted(np.tile(np.arange(n_blocks), (settings.permutations, 1)), axis=1)


@dataclass(frozen=True)
class Sides:
    """Held-out predictions and responses (n_samples, n_targets)."""

    predicted: np.ndarray
    observed: np.ndarray


def null_scores(
    of: Sides,
    nuisance: np.ndarray,
    segments: Sequence[Sequence[Segment]],
    moves: Sequence[Sequence[np.ndarray]],
    widened: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The statistic (n_targets,) and its null distribution (n_permutations, n_targets).

    Parameters
    ----------
    of : Sides
    nuisance : array (n_samples, n_nuisance)
    segments : for every fold, what changes places
    moves : for every fold and segment, what `_moves_of` gives
    widened : float
        By how much the null is wider than that of independent folds.
    """
    statistic, null = np.zeros(of.observed.shape[1]), 0.0
    for parts, orders in zip(segments, moves, strict=True):
        samples = np.concatenate([part.samples for part in parts])
        beside = nuisance[samples]
        sides = [residual(source[samples], beside) for source in (of.predicted, of.observed)]
        norm = np.sqrt(np.prod([np.einsum("nt,nt->t", side, side) for side in sides], axis=0))
        unit = np.divide(1.0, norm * len(segments), out=np.zeros_like(norm), where=norm > 1e-12)
        statistic += unit * np.einsum("nt,nt->t", *sides)
        ends = np.cumsum([len(part.samples) for part in parts])[:-1]
        observed = np.split(sides[1], ends)
        wider = widened * unit / _left(parts, observed, orders, beside)
        for part, one, other, order in zip(parts, np.split(sides[0], ends), observed, orders, strict=True):
            products = _products(*part.joined(one, other), order)
            null = null + (wider * products).astype(np.float32)
    return statistic, np.asarray(null)


def _left(
    parts: Sequence[Segment], observed: list[np.ndarray], orders: Sequence[np.ndarray], nuisance: np.ndarray
) -> np.ndarray:
    """What share of its length (n_targets,) a response keeps when it is moved and projected again."""
    whole = np.einsum("nt,nt->t", *[np.concatenate(observed)] * 2)
    if not nuisance.shape[1]:
        return np.ones_like(whole)
    basis, lost = nuisance_basis(nuisance), np.zeros_like(whole)
    for draw in range(TRIED):
        pairs = zip(parts, observed, orders, strict=True)
        moved = [part.moved(values, order[draw]) for part, values, order in pairs]
        lost += ((basis.T @ np.concatenate(moved)) ** 2).sum(axis=0) / TRIED
    kept = whole - lost
    return np.sqrt(np.divide(kept, whole, out=np.ones_like(whole), where=kept > 1e-6 * whole))


def _products(predicted: np.ndarray, observed: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Inner products (n_permutations, n_targets) of the prediction with the moved response."""
    if order.ndim == 1:
        spectrum = scipy.fft.rfft(predicted, axis=0) * scipy.fft.rfft(observed, axis=0).conj()
        return scipy.fft.irfft(spectrum, n=len(predicted), axis=0)[order]
    blocks = _blocks(predicted, observed, order.shape[1])
    return np.sum([_block_products(one, other, order) for one, other in blocks], axis=0)


def _blocks(
    predicted: np.ndarray, observed: np.ndarray, n_blocks: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Equal blocks (n_blocks, length, n_targets) of both sides, then the rest as a block that stays."""
    length = len(predicted) // n_blocks
    whole = n_blocks * length
    shape = (n_blocks, length, predicted.shape[1])
    yield predicted[:whole].reshape(shape), observed[:whole].reshape(shape)
    yield predicted[whole:][None], observed[whole:][None]


def _block_products(predicted: np.ndarray, observed: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Sum of block-wise inner products with the response's blocks in another order."""
    table = np.einsum("ant,bnt->abt", predicted, observed, optimize=True)
    if len(table) == 1:  # the rest, which has nowhere to go
        return np.broadcast_to(table[0], (len(order), table.shape[2]))
    return table[np.arange(len(table)), order].sum(axis=1)

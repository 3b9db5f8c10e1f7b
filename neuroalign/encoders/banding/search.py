"""Search for the weights of bands: which candidates are tried, and which of them every target takes.

Candidates come in rounds: points all over the simplex, then points near what targets chose so far. Where
targets are many, a sample of them tries all candidates, and the others try a shortlist of those.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from array_api_compat import array_namespace

from neuroalign.encoders.banding import candidates
from neuroalign.encoders.banding.pooling import choose, importance, learn_degree, shortlist
from neuroalign.encoders.banding.trials import ROUND, Contest, Trials
from neuroalign.encoders.solvers.targets import Targets

SAMPLE = 512
"""Targets that try all candidates."""

SPREADS = (1.0, 0.5)
"""Standard deviation of the change of log γ in the first and in the last round of refinement."""


@dataclass(frozen=True)
class Choice:
    """What every target chose.

    Attributes
    ----------
    tried : array (n_candidates, n_bands)
    degree : float
        How far choices are pooled.
    weights : array (n_bands, n_targets)
    alphas, score, r : arrays (n_targets,)
        Penalty, and mean metric and r over the folds.
    """

    tried: np.ndarray
    degree: float
    weights: np.ndarray
    alphas: np.ndarray
    score: np.ndarray
    r: np.ndarray


def search(
    contest: Contest, tries: int | np.ndarray, n_bands: int, degree: float | None, seed: int
) -> Choice:
    """Try candidates and let every target choose.

    Parameters
    ----------
    contest : Contest
        With all targets.
    tries : int or array (n_candidates, n_bands)
        How many candidates to draw, or those to try.
    n_bands : int
    degree : float or None
        How far choices are pooled; None learns it.
    seed : int
        Of the candidates.
    """
    few = replace(contest, targets=_sample(contest.targets, contest.width))
    if isinstance(tries, int):
        trials = _draw(few, n_bands, tries, degree, np.random.default_rng(seed))
    else:
        trials = few.extend(few.empty(n_bands, len(tries)), tries)
    tried = trials.weights
    degree = learn_degree(trials.scores) if degree is None else degree
    if few.targets is not contest.targets:
        scores = trials.scores.mean
        listed = tried[shortlist(scores, degree, importance(scores))]
        trials = contest.extend(contest.empty(n_bands, len(listed)), listed)
    scores = trials.scores.mean
    chosen = choose(scores, degree, importance(scores))
    at = chosen, np.arange(len(chosen))
    alphas = contest.alphas[trials.best[at]]
    return Choice(tried, degree, trials.weights[chosen].T.copy(), alphas, scores[at], trials.r[at])


def _draw(
    contest: Contest, n_bands: int, number: int, degree: float | None, rng: np.random.Generator
) -> Trials:
    """Try `number` candidates: two in three all over the simplex, the others near the chosen ones."""
    first = candidates.informative(n_bands)
    number = max(number, len(first)) if n_bands > 1 else 1
    everywhere = candidates.scattered(n_bands, max(0, round(2 / 3 * number) - len(first)), rng)
    trials = contest.extend(contest.empty(n_bands, number), np.concatenate([first, everywhere]))
    start = len(trials.weights)
    while (tried := len(trials.weights)) < number:
        scores = trials.scores.first(tried)
        share = importance(scores.mean)
        learned = learn_degree(scores) if degree is None else degree
        chosen = choose(scores.mean, min(learned, 1.0), share)
        wins = np.bincount(chosen, share, minlength=tried)
        spread = np.interp(tried, [start, max(start + 1, number - ROUND)], SPREADS)
        more = candidates.near(trials.weights, wins, min(ROUND, number - tried), float(spread), rng)
        trials = contest.extend(trials, more)
    return trials


def _sample(targets: Targets, width: int) -> Targets:
    """`SAMPLE` targets at even distances, or all of them if there are no more."""
    if targets.count <= SAMPLE:
        return targets
    places = np.linspace(0, targets.count - 1, SAMPLE).astype(int)
    parts = []
    for columns, responses, _ in targets.read(width):
        inside = places[(places >= columns.start) & (places < columns.stop)]
        parts.append(responses[:, inside - columns.start])
    return Targets(array_namespace(*parts).concat(parts, axis=1), len(parts[0]))

"""Cases run in pairs, ours and a peer's, and printed as the lines of a Markdown table."""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from cases import Case, Rival, Side
from measure import Measurement, apart, gemm_rate, measured
from problem import plant

COLUMNS = (
    "case", "samples × features × targets", "peer", "n", "ours s", "peer s", "faster ×", "wanted ×",
    "ours MB", "peer MB", "leaner ×", "equal α", "Δ prediction", "held-out R² ours / peer", "GEMM rate",
)  # fmt: skip
Pair = tuple[Measurement, Measurement]

EQUAL = 5e-4
"""Held-out R² that differ by less do not differ: another seed of a search moves them as much."""


def print_table(cases: Sequence[Case], about: str) -> int:
    """Run the cases chosen on the command line; the exit status is 1 if something could not be measured."""
    arguments = _arguments([case.name for case in cases], about)
    print(f"Load of the machine before: {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores\n")
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    failed = False
    for case in cases:
        if case.name in arguments.cases or not (arguments.cases or case.shape.device):
            for line, fine in _lines(case.quick() if arguments.quick else case, arguments.repeats):
                print(line, flush=True)
                failed |= not fine
    return int(failed)


def _arguments(names: list[str], about: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about.splitlines()[0], epilog="cases: " + ", ".join(names))
    parser.add_argument("cases", nargs="*", metavar="case", help="all but the GPU's if none is named")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of runs; peers of minutes run once")
    parser.add_argument("--quick", action="store_true", help="far smaller problems")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.cases) - set(names)):
        parser.error(f"no case is called {', '.join(unknown)}; choose from {', '.join(names)}")
    return arguments


def _lines(case: Case, repeats: int) -> Iterator[tuple[str, bool]]:
    """Lines of the table, one per peer, each with whether it was measured."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plant(case.shape).save(folder)
        for rival in case.rivals:
            try:
                if case.budgets:
                    yield _until_equal(case, rival, folder), True
                else:
                    yield _compared(case, rival, 1 if rival.once else repeats, folder), True
            except (ImportError, RuntimeError, TypeError, ValueError, AssertionError) as error:
                reason = f"not measured: {type(error).__name__}: {error}"
                yield f"| {case.name} | {case.title} | {rival.name} | {reason} |", False


def _compared(case: Case, rival: Rival, repeats: int, folder: Path) -> str:
    """Ours, peer, ours, peer, …: what else the machine does falls on both."""
    rate = apart(case.shape.threads, gemm_rate, case.shape.device) if case.flops else 0.0
    pairs = [(_run(case, case.ours, folder), _run(case, rival.run, folder)) for _ in range(repeats)]
    return _line(case, rival, pairs, rate)


def _run(case: Case, side: Side, folder: Path, candidates: int | None = None) -> Measurement:
    shape = case.shape if candidates is None else replace(case.shape, candidates=candidates)
    result: Measurement = apart(shape.threads, measured, side, shape, folder)
    return result


def _until_equal(case: Case, rival: Rival, folder: Path) -> str:
    """Each side at its smallest budget that predicts as well as the peer at its largest, but for `EQUAL`."""
    level = _run(case, rival.run, folder, case.budgets[-1]).held_out - EQUAL
    reached = {}
    for name, side in (("ours", case.ours), ("peer", rival.run)):
        for budget in case.budgets:
            reached[name] = budget, _run(case, side, folder, budget)
            if reached[name][1].held_out >= level:
                break
    (few, mine), (many, theirs) = reached["ours"], reached["peer"]
    name = f"{rival.name}: {many} candidates, ours {few}"
    if mine.held_out < level:
        rival = replace(rival, wanted=math.inf)
    return _line(case, replace(rival, name=name), [(mine, theirs)], 0.0)


def _line(case: Case, rival: Rival, pairs: list[Pair], rate: float) -> str:
    mine, theirs = pairs[0]
    seconds = [statistics.median(pair[side].seconds for pair in pairs) for side in (0, 1)]
    memory = [statistics.median(pair[side].extra_mb for pair in pairs) for side in (0, 1)]
    faster = statistics.median(theirs.seconds / mine.seconds for mine, theirs in pairs)
    equal, apart_by = ("–", "–") if case.budgets else _agreement(mine, theirs)
    share = f"{case.flops(case.shape) / seconds[0] / rate:.0%}" if case.flops else "–"
    met = "" if rival.wanted is None else f"{rival.wanted:g} {'✓' if faster >= rival.wanted else '✗'}"
    cells = (
        case.name, case.title, rival.name, len(pairs), f"{seconds[0]:.2f}", f"{seconds[1]:.2f}",
        f"{faster:.1f}", met, f"{memory[0]:.0f}", f"{memory[1]:.0f}", f"{memory[1] / max(memory[0], 1):.1f}",
        equal, apart_by, f"{mine.held_out:.4f} / {theirs.held_out:.4f}", share,
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def _agreement(mine: Measurement, theirs: Measurement) -> tuple[str, str]:
    """Share of targets with the same alpha; for those, the largest relative distance of predictions."""
    if mine.alphas is None or theirs.alphas is None:
        return "–", "–"
    same = np.isclose(mine.alphas, theirs.alphas, rtol=1e-3)
    if not same.any():
        return "0%", "–"
    distance = np.linalg.norm(mine.predicted - theirs.predicted, axis=0)[same]
    return f"{same.mean():.2%}", f"{(distance / np.linalg.norm(theirs.predicted, axis=0)[same]).max():.0e}"

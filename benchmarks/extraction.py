"""What does it cost to read all layers of a network, beside running it?

    python benchmarks/extraction.py              half an hour on two cores
    python benchmarks/extraction.py --threads 1  fewer
    python benchmarks/extraction.py --quick      tiny networks: shows that it runs, and no figures to quote

Prints Markdown tables, line by line. README.md says what their columns mean.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from measure import Memory, apart
from shown import BATCH, WAYS, Shown, Way, draw, make, open_shown

WANTED = 1.15
"""Times the bare pass, at most."""

BATCHES = 2
"""Shown when memory is measured: what grows with the items is told from what grows with a batch."""

Side = Callable[[Shown], Any]
TIMES = (
    "network and what is kept", "threads", "bare ms", "ours × bare", "CPU time × bare", "hooks × bare",
    "their CPU time × bare", "wanted ×", "files → store ÷ files → bare, CPU time",
)  # fmt: skip
SPACES = (
    "network and what is kept", "bare MB", "one batch of taps MB", "ours MB", "of it results MB",
    "bare + one batch MB", "store MB", "hooks MB",
)  # fmt: skip


@dataclass(frozen=True)
class Times:
    """Seconds for an item of the bare pass, and ratios to it: of seconds, and of CPU time.

    `stored`, of CPU time, is of images alone.
    """

    bare: float
    ours: tuple[float, float]
    hooks: tuple[float, float]
    stored: float | None


def bare(shown: Shown) -> None:
    """Run the model and keep nothing."""
    import torch

    with torch.inference_mode():
        for batch in shown.batches:
            shown.forward(*batch)


def ours(shown: Shown) -> Any:
    """Read everything, from prepared images or from words; a batch is let go before the next."""
    windows, result = shown.windows, None
    with _prepared(shown):
        for start in range(0, len(windows), BATCH):
            result = None
            result = shown.network.run(windows[start : start + BATCH])
    return result


def hooks(shown: Shown) -> Any:
    """Collect whole answers in lists, as it is commonly written."""
    import torch

    network, kept = shown.network, {}

    def keep(name: str, side: str) -> Callable[..., None]:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            value = output if side == "output" else inputs
            value = value[0] if isinstance(value, tuple) else value
            kept.setdefault((name, side), []).append(value.detach().cpu())

        return hook

    taps = [network.model.taps[index] for index in network.kept]
    places = dict.fromkeys((tap.path, tap.side) for tap in taps)
    handles = [
        shown.model.get_submodule(path).register_forward_hook(keep(path, side)) for path, side in places
    ]
    bare(shown)
    for handle in handles:
        handle.remove()
    return {place: torch.cat(values).numpy() for place, values in kept.items()}


def files_bare(shown: Shown) -> None:
    """Read and prepare images batch by batch, run the model, and keep nothing."""
    import torch
    from PIL import Image

    windows = shown.windows
    with torch.inference_mode():
        for start in range(0, len(windows), BATCH):
            some = windows[start : start + BATCH]
            images = [np.asarray(Image.open(window.uri).convert("RGB")) for window in some]
            shown.forward(shown.network.model.prepare(images))


def files_store(shown: Shown, folder: Path) -> None:
    """Make a store of images, as the workflow does."""
    from neuroalign import activations

    with mock.patch.object(activations, "open_network", return_value=shown.network):
        activations.extract(shown.network.settings, "net", shown.items, folder / "net.zarr")


SIDES: dict[str, Side] = {"bare": bare, "ours": ours, "hooks": hooks}


@contextmanager
def _prepared(shown: Shown) -> Iterator[None]:
    """Images are neither read nor prepared again: their pixels are there."""
    network = shown.network
    if hasattr(network, "encode"):
        yield
        return
    batches = iter([pixels for (pixels,) in shown.batches])
    model = network.model
    network.model = replace(model, prepare=lambda images: next(batches))
    with mock.patch("neuroalign.networks.vision.images.read_image", lambda uri: uri):
        yield
    network.model = model


def timed(way: Way, folder: Path, threads: int, rounds: int) -> Times:
    """Let the sides take turns on one batch; the ratios are of neighbours in time."""
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(threads)
    shown = open_shown(way, folder, 1)
    bare(shown)
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        sides = dict(SIDES)
        if way.modality == "image":
            sides |= {"files": files_bare, "store": partial(files_store, folder=Path(name))}
        for _ in range(rounds):
            for side, run in sides.items():
                start, cpu = time.perf_counter(), time.process_time()
                run(shown)
                spent_here = time.perf_counter() - start, time.process_time() - cpu
                found.setdefault(side, []).append(spent_here)

    def ratio(side: str, to: str = "bare") -> tuple[float, float]:
        pairs = list(zip(found[side], found[to], strict=True))
        wall, cpu = (statistics.median(one[clock] / other[clock] for one, other in pairs) for clock in (0, 1))
        return wall, cpu

    per_item = statistics.median(wall for wall, _ in found["bare"]) / BATCH
    stored = ratio("store", "files")[1] if "store" in found else None
    return Times(per_item, ratio("ours"), ratio("hooks"), stored)


def spent(way: Way, side: str, folder: Path) -> tuple[float, float]:
    """Peak of memory of one side over what the process held before, and of that what it returned, in MB."""
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    shown = open_shown(way, folder, BATCHES)
    bare(replace(shown, batches=shown.batches[:1]))
    memory = Memory(None)
    if side == "store":
        with tempfile.TemporaryDirectory() as name:
            files_store(shown, Path(name))
        return memory.extra_mb(), 0.0
    result = SIDES[side](shown)
    extra = memory.extra_mb()
    arrays = result.values() if isinstance(result, dict) else result or ()
    return extra, sum(array.nbytes for array in arrays) / 2**20


def _time_lines(folder: Path, arguments: argparse.Namespace) -> Iterator[str]:
    yield "| " + " | ".join(TIMES) + " |\n|" + "---|" * len(TIMES)
    for way in WAYS:
        for threads in arguments.threads:
            got: Times = apart(threads, timed, way, folder, threads, arguments.rounds)
            stored = "" if got.stored is None else f"{got.stored:.2f}"
            yield (
                f"| {way.name} | {threads} | {1000 * got.bare:.3g} | {got.ours[0]:.2f} | {got.ours[1]:.2f} | "
                f"{got.hooks[0]:.2f} | {got.hooks[1]:.2f} | {WANTED} | {stored} |"
            )


def _space_lines(folder: Path) -> Iterator[str]:
    # What is freed is given back at once, so that it does not hide in what the process held before.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    yield "| " + " | ".join(SPACES) + " |\n|" + "---|" * len(SPACES)
    for way in WAYS:
        sides = (*SIDES, "store") if way.modality == "image" else tuple(SIDES)
        got = {side: apart(1, spent, way, side, folder) for side in sides}
        store = f"{got['store'][0]:.0f}" if "store" in got else ""
        taps = got["hooks"][1] / BATCHES
        yield (
            f"| {way.name} | {got['bare'][0]:.0f} | {taps:.0f} | {got['ours'][0]:.0f} | "
            f"{got['ours'][1]:.0f} | {got['bare'][0] + taps:.0f} | {store} | "
            f"{got['hooks'][0]:.0f} |"
        )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5, help="turns that each side takes")
    parser.add_argument("--only", choices=("times", "memory"), help="one of the tables")
    parser.add_argument("--quick", action="store_true", help="tiny networks")
    arguments = parser.parse_args()
    print(f"Load of the machine before: {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores\n", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, arguments.quick)
        draw(folder, BATCHES * BATCH)
        if arguments.only != "memory":
            for line in _time_lines(folder, arguments):
                print(line, flush=True)
            print(flush=True)
        if arguments.only != "times":
            for line in _space_lines(folder):
                print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())

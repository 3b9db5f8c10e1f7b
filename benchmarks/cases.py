"""The cases: what is fitted, by whom, and how many times faster neuroalign has to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import flops
import numpy as np
import ours
import peers
from problem import Answer, Problem, Shape

ALPHAS = tuple(np.geomspace(1e1, 1e7, 20).tolist())
Side = Callable[[Problem], Answer]


@dataclass(frozen=True)
class Rival:
    """A peer's way; `once` where it takes minutes; `wanted` is the least ratio of its time to ours."""

    name: str
    run: Side
    wanted: float | None = None
    once: bool = False


@dataclass(frozen=True)
class Case:
    """One problem; `budgets` are numbers of candidates to try until the peer's held-out score is reached."""

    name: str
    shape: Shape
    ours: Side
    rivals: tuple[Rival, ...]
    flops: Callable[[Shape], float] | None = None
    budgets: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """Sizes, in the order samples × features × targets."""
        shape = self.shape
        width = f"({shape.features} × {shape.lags})" if shape.lags else str(shape.features)
        sizes = f"{shape.samples} × {width} × {shape.targets}"
        return f"{shape.layers} × ({sizes})" if shape.layers > 1 else sizes

    def quick(self) -> Case:
        """The same with a tenth of the targets (time series: of the samples), and half of the rest."""
        shape = self.shape
        if shape.lags:
            return replace(self, shape=replace(shape, samples=shape.samples // 10))
        bands = tuple(width // 2 for width in shape.bands)
        halved = replace(shape, samples=shape.samples // 2, features=shape.features // 2, bands=bands)
        return replace(self, shape=replace(halved, targets=shape.targets // 10))


def _banded(bands: tuple[int, ...], samples: int, targets: int, candidates: int = 0) -> Shape:
    return Shape(samples, sum(bands), targets, ALPHAS, bands=bands, candidates=candidates)


HIMALAYA = partial(peers.himalaya_ridge, backend="numpy")
HIMALAYA_TORCH = partial(peers.himalaya_ridge, backend="torch")
GROUPS = "himalaya GroupRidgeCV"
LADDER = (5, 10, 20, 40)

CASES = (
    Case(
        "ridge",
        Shape(8000, 768, 2000, ALPHAS),
        ours.ridge,
        (
            Rival("himalaya RidgeCV numpy", HIMALAYA, 34),
            Rival("himalaya RidgeCV torch", HIMALAYA_TORCH, 34),
            Rival("himalaya RidgeCV as it comes", partial(HIMALAYA, batched=False), 34),
            Rival("scikit-learn Ridge", peers.sklearn_ridge, 10),
            Rival("fracridge", peers.fracridge_loop, 12),
        ),
        flops.ridge,
    ),
    Case(
        "ridge-1-thread",
        Shape(8000, 768, 20000, ALPHAS, threads=1),
        ours.ridge,
        (Rival("himalaya RidgeCV", HIMALAYA, 55, once=True),),
        flops.ridge,
    ),
    Case(
        "square",
        Shape(4000, 3072, 4000, ALPHAS),
        ours.ridge,
        (
            Rival("himalaya RidgeCV", HIMALAYA, 4, once=True),
            Rival("himalaya KernelRidgeCV", partial(peers.himalaya_kernel, primal=True), once=True),
        ),
        flops.ridge,
    ),
    Case(
        "dual",
        Shape(1000, 12288, 20000, ALPHAS),
        partial(ours.ridge, primal=False),
        (
            Rival("himalaya KernelRidgeCV numpy", peers.himalaya_kernel, 2.8),
            Rival("himalaya KernelRidgeCV torch", partial(peers.himalaya_kernel, backend="torch"), 2.8),
        ),
        partial(flops.ridge, primal=False),
    ),
    Case(
        "dual-primal",
        Shape(1000, 12288, 20000, ALPHAS),
        ours.ridge,
        (Rival("himalaya KernelRidgeCV", partial(peers.himalaya_kernel, primal=True), 2.2),),
        flops.ridge,
    ),
    Case(
        "layers",
        Shape(1000, 384, 5000, ALPHAS, layers=13),
        ours.layers,
        (Rival("himalaya RidgeCV", HIMALAYA, 10),),
        flops.ridge,
    ),
    Case(
        "lagged",
        Shape(100_000, 16, 128, ALPHAS, metric="r", lags=40),
        ours.lagged,
        (
            Rival("scikit-learn Ridge", peers.sklearn_ridge, 66, once=True),
            Rival("mTRFpy", peers.mtrf, 26),
        ),
        flops.lagged,
    ),
    Case(
        "lagged-one",
        Shape(100_000, 16, 128, ALPHAS[10:11], lags=40),
        ours.lagged_one,
        (
            Rival("MNE, epochs", peers.mne_ridge, 16),
            Rival("MNE, as it comes", partial(peers.mne_ridge, epochs=False), 16),
        ),
    ),
    Case(
        "banded-2",
        _banded((256, 256), 2000, 1000, 20),
        ours.banded,
        (Rival(GROUPS, peers.himalaya_banded, 10, once=True),),
    ),
    Case(
        "banded-3",
        _banded((32, 224, 256), 2000, 1000, 20),
        ours.banded,
        (Rival(GROUPS, peers.himalaya_banded, 10, once=True),),
    ),
    Case(
        "search-2",
        _banded((96, 96), 1200, 1000),
        partial(ours.banded, search=True),
        (Rival(GROUPS, partial(peers.himalaya_banded, search=True), 20),),
        budgets=LADDER,
    ),
    Case(
        "search-3",
        _banded((16, 80, 96), 1200, 1000),
        partial(ours.banded, search=True),
        (Rival(GROUPS, partial(peers.himalaya_banded, search=True), 20),),
        budgets=LADDER,
    ),
    Case(
        "gpu",
        Shape(8000, 768, 20000, ALPHAS, device="cuda"),
        ours.ridge,
        (Rival("himalaya RidgeCV torch_cuda", partial(peers.himalaya_ridge, backend="torch_cuda")),),
        flops.ridge,
    ),
)

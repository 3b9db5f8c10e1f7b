"""What was planted in viewers of images beside what came back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neuroalign.report.planted.recovered import field_pictures, truth_pictures
from neuroalign.report.planted.truth import Recovery, agreement, recoveries

N = 60


def known(subjects: int = 2) -> xr.Dataset:
    """The truth of a small brain: a third is driven, a third follows luminance, a third is noise."""
    rng = np.random.default_rng(0)
    driven = np.arange(N) < N // 3
    per_subject = np.where(np.arange(N) < 2 * N // 3, 0.5, 0.0) * np.linspace(1, 0.9, subjects)[:, None]
    values = {name: np.where(driven, rng.uniform(size=N), np.nan) for name in ("depth", "field_x", "field_y")}
    return xr.Dataset(
        {
            **{name: ("target", column) for name, column in values.items()},
            "ceiling": (("subject", "target"), per_subject),
            "ceiling_of_means": (("subject", "target"), 1.5 * per_subject),
        },
        {"subject": ["01", "02"][:subjects], "i": ("target", np.arange(N))},
        {"network": "the planted one"},
    )


def found(truth: xr.Dataset) -> xr.Dataset:
    """A summary whose targets come in another order and whose fields are mirrored from left to right."""
    order = np.random.default_rng(1).permutation(N)
    picked = truth.isel(target=order)
    zero = np.zeros(N)
    data = {
        "chosen_r": zero,
        "p": zero + 0.5,
        "significant": zero.astype(bool),
        "centroid": zero * np.nan,
        "best_depth": zero * np.nan,
        "importance_depth": 0.5 * picked["depth"].values,
        "field_x": 1 - picked["field_x"].values,
        "field_y": picked["field_y"].values,
        "ceiling": picked["ceiling_of_means"].values[0],
    }
    return xr.Dataset(
        {name: ("target", values) for name, values in data.items()},
        {"i": ("target", picked["i"].values)},
        {"network": "n", "encoder": "cross_attention"},
    )


def evidence(repeats: str, named: str = "the planted one") -> Any:
    truth = known()
    return SimpleNamespace(
        truth=truth,
        study=SimpleNamespace(
            conditions=lambda: {"n": SimpleNamespace(named=named)}, design=SimpleNamespace(repeats=repeats)
        ),
        whose=lambda *_: {"02": found(truth)},
    )


def test_receptive_fields_are_compared_target_by_target() -> None:
    (recovery,) = recoveries(evidence("average"), "n", "cross_attention")
    row = agreement(recovery)
    assert row["targets"] == N // 3
    assert row["r_field_x"] == pytest.approx(-1)
    assert row["r_field_y"] == pytest.approx(1)
    assert row["r_importance_depth"] == pytest.approx(1)
    assert "r_field_size" not in row
    assert row["nuisance_targets"] == row["noise_targets"] == N // 3
    assert len(field_pictures([recovery])) == 2


def test_the_ceiling_is_that_of_what_was_fitted() -> None:
    for repeats, highest in (("average", 0.675), ("each", 0.45)):
        (recovery,) = recoveries(evidence(repeats), "n", "cross_attention")
        assert recovery.true_ceiling.max() == pytest.approx(highest)


def test_a_network_that_was_not_planted_is_not_compared() -> None:
    none = recoveries(evidence("each", named="another"), "n", "cross_attention")
    assert none == []
    assert truth_pictures(none, None) == field_pictures(none) == []


def test_where_no_fields_are_known_none_are_drawn() -> None:
    (recovery,) = recoveries(evidence("each"), "n", "cross_attention")
    bare = Recovery(recovery.owner, recovery.planted, recovery.true_ceiling, recovery.summary)
    assert field_pictures([bare]) == []
    assert "r_field_x" not in agreement(bare)

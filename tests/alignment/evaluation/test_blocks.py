from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuroalign import stages
from neuroalign.alignment.evaluation import blocks as blocks_of
from neuroalign.alignment.evaluation.blocks import FitSize, fit_in_blocks
from neuroalign.artefacts import layout
from neuroalign.artefacts.arrays import open_arrays
from neuroalign.errors import DataError

SIZE = FitSize(targets=300_000, read=1000, samples=1000, features=500, scores=40)


def test_blocks_cover_all_targets_and_fit_the_budget():
    for budget in (2e9, 4e9, 8e9, 64e9):
        found = SIZE.blocks(budget)
        assert [block.start for block in found] == [0, *(block.stop for block in found[:-1])]
        assert found[-1].stop == SIZE.targets
        assert SIZE.memory(max(block.stop - block.start for block in found)) <= budget
    assert len(SIZE.blocks(None)) == len(SIZE.blocks(64e9)) == 1
    assert len(SIZE.blocks(4e9)) > 1


def test_a_budget_too_small_says_how_much_it_takes():
    with pytest.raises(DataError, match=r"resources.memory is 0.1 GB, but this fit needs 0\.\d+ GB"):
        SIZE.blocks(1e8)


@pytest.fixture
def study(tree, tmp_path):
    rng = np.random.default_rng(0)
    for run in ("1", "2", "3"):
        words = [f"{'x' * int(rng.integers(1, 12))}{run}{number}" for number in range(40)]
        tree.events("01", run, words=words)
        noise = rng.standard_normal((48, 10))
        noise[:, 7] = 1.0  # a constant target among them
        tree.parcels("01", run, pd.DataFrame(noise, columns=list("abcdefghij")))
    made = tree.study(
        output=str(tmp_path / "out"),
        networks={"length": {"family": "handmade", "features": ["word_length"]}},
    )
    stages.index(made)
    stages.stimuli(made)
    stages.responses(made, "01")
    stages.activations(made, "length")
    return made


def fitted(study) -> tuple[xr.Dataset, xr.Dataset]:
    stages.fit(study, "01", "length", "ridge")
    made = {"subject": "01", "network": "length", "encoder": "ridge"}
    paths = (layout.SCORES, layout.PREDICTIONS)
    return tuple(open_arrays(f"{study.output}/{path.format(**made)}") for path in paths)


def test_a_fit_in_blocks_is_the_fit(study, monkeypatch, tmp_path):
    whole = fitted(study)
    monkeypatch.setattr(FitSize, "blocks", lambda self, budget: [slice(0, 4), slice(4, 7), slice(7, 10)])
    parts = fitted(study)
    for one, other in zip(whole, parts, strict=True):
        assert set(one.variables) == set(other.variables)
        assert {key: str(value) for key, value in one.attrs.items()} == {
            key: str(value) for key, value in other.attrs.items()
        }
        for name, variable in one.variables.items():
            assert variable.dims == other[name].dims
            if variable.dtype.kind == "f":
                np.testing.assert_allclose(variable, other[name], rtol=1e-4, atol=1e-5, err_msg=str(name))
            else:
                np.testing.assert_array_equal(variable, other[name], err_msg=str(name))
    assert np.isnan(parts[1]["prediction"][:, 7]).all()
    assert not list((tmp_path / "out" / "scores").glob("*.partial"))


def test_blocks_that_were_fitted_before_are_kept_if_of_the_same(tmp_path):
    fits = []

    def fit(block, unfinished):
        fits.append(block)
        if block.start == 4 and len(fits) == 2:
            raise KeyboardInterrupt
        count = block.stop - block.start
        found = xr.Dataset({"r": ("target", np.full(count, float(block.start)))})
        return found.assign_coords(valid=("target", np.ones(count, bool))), found

    divided = [slice(0, 4), slice(4, 8)]
    with pytest.raises(KeyboardInterrupt):
        fit_in_blocks(fit, divided, tmp_path, "same")
    found = fit_in_blocks(fit, divided, tmp_path, "same")
    assert fits == [slice(0, 4), slice(4, 8), slice(4, 8)]
    np.testing.assert_array_equal(found["r"], [0.0] * 4 + [4.0] * 4)
    assert "fingerprint" not in found.attrs
    fit_in_blocks(fit, divided, tmp_path, "other")
    assert len(fits) == 5
    blocks_of.discard(tmp_path)
    assert not tmp_path.exists()


def test_later_blocks_may_have_longer_names(tmp_path):
    names, divided = [str(number) for number in range(5, 15)], [slice(0, 5), slice(5, 10)]

    def fit(block, unfinished):
        found = xr.Dataset({"r": ("target", np.zeros(block.stop - block.start))})
        found = found.assign_coords(name=("target", np.array(names[block])), valid=("target", [True] * 5))
        predicted = {"fold": ("sample", [0, 1, 2]), "prediction": (("sample", "target"), np.zeros((3, 5)))}
        return found, found.assign(predicted)

    scores = fit_in_blocks(fit, divided, tmp_path / "parts", "same")
    blocks_of.join_predictions(divided, tmp_path / "parts", tmp_path / "made.nc")
    assert scores["name"].values.tolist() == names
    assert open_arrays(tmp_path / "made.nc")["name"].values.tolist() == names

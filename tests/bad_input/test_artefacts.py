"""Outputs of earlier stages that are damaged, swapped, or of something else."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
import xarray as xr

from neuroalign.artefacts import arrays, layout

ALL = ("--subject", "01", "--network", "net", "--encoder", "ridge")
MODEL = ALL[2:]

READS = {
    "stimuli": ((), (layout.INDEX,)),
    "activations": (("--network", "net"), (layout.ITEMS,)),
    "responses": (("--subject", "01"), (layout.INDEX,)),
    "fit": (ALL, (layout.EVENTS, layout.RESPONSES, layout.ACTIVATIONS)),
    "ceiling": ((), (layout.EVENTS, layout.RESPONSES)),
    "inference": (ALL, (layout.PREDICTIONS, layout.RESPONSES)),
    "summary": (ALL, (layout.SCORES, layout.CEILING, layout.INFERENCE)),
    "group": (MODEL, (layout.SUMMARY,)),
    "maps": ((), (layout.SUMMARY, layout.GROUP)),
    "report": ((), (layout.SUMMARY, layout.GROUP, layout.RESPONSES)),
}
"""Stage → its options and what it opens."""

PAIRS = [(stage, pattern) for stage, (_, opened) in READS.items() for pattern in opened]


def cut(path):
    if path.is_dir():
        path = path / "zarr.json"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    if path.is_dir():
        shutil.rmtree(path)
        path.mkdir()
    else:
        path.write_bytes(b"")


def noise(path):
    if path.is_dir():
        shutil.rmtree(path)
    path.write_bytes(b"\x93garbage" * 300)


def away(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("damage", [cut, empty, noise, away], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize(("stage", "pattern"), PAIRS)
def test_a_damaged_artefact(results, refused, stage, pattern, damage):
    if (stage, damage.__name__) == ("report", "away"):
        pytest.skip("the report says what is missing, and shows the rest")
    path = results.made(pattern)
    damage(path)
    if path.exists():
        assert path.is_dir() or damage is not away
    refused(results, stage, *READS[stage][0], named=(path.name,))


OWNED = [
    (stage, pattern)
    for stage, pattern in PAIRS
    if "{subject}" in pattern and (stage, pattern) != ("report", layout.RESPONSES)
]


@pytest.mark.parametrize(("stage", "pattern"), OWNED)
def test_files_of_two_subjects_that_were_swapped(results, refused, stage, pattern):
    one, other = (results.made(pattern, subject=subject) for subject in ("01", "02"))
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    refused(results, stage, *READS[stage][0], named=(one.name, "'02'", "'01'", "swapped"))


@pytest.mark.parametrize(
    ("stage", "pattern"),
    [
        pair
        for pair in PAIRS
        if "{network}" in pair[1] and pair[1] not in (layout.ACTIVATIONS, layout.INFERENCE)
    ],
)
def test_a_file_of_another_network(results, refused, stage, pattern):
    shutil.copy(results.made(pattern, network="nuisance"), results.made(pattern)) if pattern != (
        layout.PREDICTIONS
    ) else change(results.made(pattern), network="nuisance")
    refused(results, stage, *READS[stage][0], named=(results.made(pattern).name, "network", "'nuisance'"))


def change(path, **attributes):
    made = arrays.open_arrays(path)
    made.attrs.update(attributes)
    arrays.save_arrays(made, path)


@pytest.mark.parametrize(("stage", "pattern"), [pair for pair in PAIRS if pair[1].endswith(".nc")])
@pytest.mark.parametrize("what", ["encoder", "artefact_format"])
def test_a_file_of_another_encoder_or_version(results, refused, stage, pattern, what):
    if (what == "encoder" and "{encoder}" not in pattern) or (stage, pattern) == ("report", layout.RESPONSES):
        pytest.skip("it has none, or only its size is looked at")
    change(results.made(pattern), **{what: "banded_ridge" if what == "encoder" else 99})
    refused(results, stage, *READS[stage][0], named=(results.made(pattern).name,))


@pytest.mark.parametrize(("stage", "pattern"), [pair for pair in PAIRS if pair[1].endswith(".nc")])
def test_a_file_of_another_kind(results, refused, stage, pattern):
    path = results.made(pattern)
    about = arrays.open_arrays(path).attrs
    arrays.save_arrays(xr.Dataset({"other": ("target", [1.0])}, attrs=about), path)
    refused(results, stage, *READS[stage][0], named=(path.name,))


@pytest.mark.parametrize(("stage", "pattern"), [pair for pair in PAIRS if pair[1].endswith(".parquet")])
def test_a_table_of_another_kind(results, refused, stage, pattern):
    path = results.made(pattern)
    arrays.save_table(pd.DataFrame({"other": [1]}), path)
    refused(results, stage, *READS[stage][0], named=(path.name, "column"))


@pytest.mark.parametrize(
    ("stage", "pattern"),
    [("inference", layout.PREDICTIONS), ("summary", layout.CEILING), ("summary", layout.INFERENCE)],
)
def test_an_artefact_of_fewer_targets(results, refused, stage, pattern):
    path = results.made(pattern)
    arrays.save_arrays(arrays.open_arrays(path).isel(target=slice(2)), path)
    refused(results, stage, *READS[stage][0], named=(path.name, "2 targets", "3"))


def test_predictions_of_fewer_samples(results, refused):
    path = results.made(layout.PREDICTIONS)
    arrays.save_arrays(arrays.open_arrays(path).isel(sample=slice(40)), path)
    refused(results, "inference", *ALL, named=(path.name, "40 samples"))


def test_activations_of_another_network(results, refused):
    path = results.made(layout.ACTIVATIONS) / "zarr.json"
    content = json.loads(path.read_text())
    content["attributes"]["network"] = "other"
    path.write_text(json.dumps(content))
    refused(results, "fit", *ALL, named=("net.zarr", "'other'"))


def test_activations_that_did_not_end(results, refused):
    path = results.made(layout.ACTIVATIONS) / "zarr.json"
    content = json.loads(path.read_text())
    content["attributes"]["complete"] = False
    path.write_text(json.dumps(content))
    refused(results, "fit", *ALL, named=("net.zarr", "did not end"))


def test_activations_of_other_stimuli(results, refused):
    path = results.made(layout.EVENTS)
    events = arrays.open_table(path)
    arrays.save_table(events.assign(item=events["item"] + 1000), path)
    refused(results, "fit", *ALL, named=("net.zarr", "items"))


@pytest.mark.parametrize("what", ["missing", "cut"])
def test_activations_that_lost_a_layer(results, refused, what):
    (array,) = results.made(layout.ACTIVATIONS).glob("*/activation")
    (chunk,) = (path for path in (array / "c").rglob("*") if path.is_file())
    if what == "missing":
        shutil.rmtree(array)
    else:
        chunk.write_bytes(chunk.read_bytes()[:20])
    refused(results, "fit", *ALL, named=("net.zarr",))


def test_a_kept_layer_that_is_damaged_is_made_again(results, run):
    """What a killed job left is not trusted: it is fitted again."""
    partial = results.made(layout.SCORES).with_suffix(".partial")
    partial.mkdir()
    (partial / "layer-000.nc").write_bytes(b"garbage")
    results.made(layout.SCORES).unlink()
    assert run("fit", results.save(), *ALL).status == 0
    assert results.made(layout.SCORES).exists()

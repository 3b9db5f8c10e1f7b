"""Folders of images as stimuli: what was shown in a block, though not when; features are means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuroalign import bids
from neuroalign.activations import extract
from neuroalign.artefacts import layout
from neuroalign.artefacts.arrays import open_activations, open_arrays
from neuroalign.errors import ConfigError, DataError
from neuroalign.planning.preflight import check
from neuroalign.settings.features import Handmade
from neuroalign.stages import activations as extracted
from neuroalign.stages import fit as fitted
from neuroalign.stages import index, responses, stimuli
from neuroalign.stimuli.events import read_stimuli
from neuroalign.stimuli.media import content_digest

KINDS = ("cat", "face", "house", "shoe")
FOLDERS = {"cat": "cats", "face": "faces", "shoe": "more/shoes"}


@pytest.fixture
def blocks(tree, rng):
    """Three runs with two blocks of every category each; voxel 0 follows the contrast of its images."""
    drawn = {}
    for number, kind in enumerate(KINDS):
        folder = tree.root / "stimuli" / FOLDERS.get(kind, kind)
        folder.mkdir(parents=True)
        wide = [rng.normal(120, 10 * number + 5, (16, 16)) for _ in range(3 + number)]
        drawn[kind] = [pixels.clip(0, 255).astype(np.uint8) for pixels in wide]
        for place, pixels in enumerate(drawn[kind]):
            Image.fromarray(pixels).save(folder / f"{place}.png")
        (folder / "README").write_text("drawn for a test")
    for run in "123":
        shown = rng.permutation(np.tile(KINDS, 2))
        tree.events("01", run, words=["x"] * 8, step=30.0, trial_type=shown)
        height = np.array([KINDS.index(kind) for kind in shown], float)
        data = rng.standard_normal((3, 3, 2, 8)).astype(np.float32)
        data[0, 0, 0] = height + 0.1 * data[0, 0, 0]
        path = tree.volumes("01", run, data, np.ones((3, 3, 2)))
        path.rename(path.with_name(path.name.replace("desc-preproc_bold", "desc-betas_statmap")))
    return tree


def study(tree, **keys):
    return tree.study(
        "volume",
        output=str(tree.root.parent / "results"),
        stimuli={"modality": "image", "column": "trial_type", "files": FOLDERS} | keys,
        networks={"light": {"family": "handmade", "features": ["luminance", "contrast"]}},
        responses={"samples": "trials", "entities": {"desc": "betas"}},
        design={"folds": {"by": "run", "shared_items": "allow"}},
    )


def test_features_of_a_folder_are_the_mean_over_its_images(blocks, tmp_path):
    asked = study(blocks)
    table = bids.index_dataset(blocks.root, blocks.derivatives, "story")
    items, events = read_stimuli(table, asked.dataset, asked.stimuli, ["01"])
    assert len(items) == 4
    assert len(events) == 24
    assert set(items["modality"]) == {"image"}
    network = Handmade(features=("luminance", "contrast", "gabor"), tokens=True, grid=4)
    extract(network, "light", items, tmp_path / "light.zarr")
    found = open_activations(tmp_path / "light.zarr")
    for row, uri in enumerate(items["uri"]):
        files = sorted(blocks.root.joinpath(uri).glob("*.png"))
        alone = items.iloc[[0] * len(files)].assign(uri=list(map(str, files)))
        alone["digest"] = alone["uri"].map(content_digest)
        extract(network, "alone", alone.reset_index(drop=True), tmp_path / f"{row}.zarr")
        single = open_activations(tmp_path / f"{row}.zarr")
        for layer in range(3):
            np.testing.assert_allclose(found.read(layer)[row], single.read(layer).mean(axis=0), atol=1e-5)
            np.testing.assert_allclose(
                np.asarray(found.tokens(layer)[0])[row],
                np.asarray(single.tokens(layer)[0]).mean(axis=0),
                atol=1e-5,
            )


def test_a_planted_contrast_is_found_through_all_stages(blocks):
    asked = study(blocks)
    problems, lines = check(asked)
    assert problems == []
    assert any(line.startswith("stimuli: 4, shown 24 times") for line in lines)
    index(asked)
    stimuli(asked)
    extracted(asked, "light")
    responses(asked, "01")
    fitted(asked, "01", "light", "ridge")
    made_for = {"subject": "01", "network": "light", "encoder": "ridge"}
    scores = open_arrays(Path(asked.output, layout.SCORES.format(**made_for)))
    r = scores["chosen_r"].mean("fold").values
    assert r[0] > 0.9
    assert np.abs(r[1:]).mean() < 0.4


def test_folders_that_will_not_do(blocks):
    table = bids.index_dataset(blocks.root, blocks.derivatives, "story")

    def read(**keys):
        asked = study(blocks, **keys)
        return read_stimuli(table, asked.dataset, asked.stimuli, ["01"])

    with pytest.raises(ConfigError, match="'car' is nowhere in column 'trial_type': did you mean 'cat'"):
        read(files={**FOLDERS, "car": "cats"})
    with pytest.raises(DataError, match=r"stimuli/cat: no such file.*and 2 more"):
        read(files={})
    with pytest.raises(ConfigError, match="'files' goes with images, sound or video"):
        study(blocks, modality="text")
    for path in (blocks.root / "stimuli" / "house").glob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match="house: a folder without an image"):
        read()
    (blocks.root / "stimuli" / "house" / "0.png").write_text("no image")
    with pytest.raises(DataError, match=r"house/0\.png"):
        read()


def test_a_folder_is_known_by_its_content(blocks):
    one, other = blocks.root / "stimuli" / "cats", blocks.root / "stimuli" / "copy"
    other.mkdir()
    for place, path in enumerate(sorted(one.glob("*.png"), reverse=True)):
        (other / f"b{place}.png").write_bytes(path.read_bytes())
    assert content_digest(str(one)) == content_digest(str(other))
    next(other.glob("*.png")).unlink()
    assert content_digest(str(one)) != content_digest(str(other))

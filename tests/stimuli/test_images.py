"""Images as stimuli: one item per file, equal content told apart from equal names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neuroalign import bids
from neuroalign.errors import DataError
from neuroalign.settings import config
from neuroalign.stimuli.events import read_stimuli
from neuroalign.stimuli.media import check_image, read_image

DRAWN = {name: np.full((4, 4, 3), shade, np.uint8) for shade, name in enumerate("abc", start=10)}


@pytest.fixture
def tree(tmp_path):
    """Two subjects, two runs each; images a and c are the same to look at."""
    DRAWN["c"] = DRAWN["a"]
    (tmp_path / "stimuli" / "set").mkdir(parents=True)
    for name, pixels in DRAWN.items():
        Image.fromarray(pixels).save(tmp_path / "stimuli" / "set" / f"{name}.png")
    shown = {("01", "1"): "ab", ("01", "2"): "ba", ("02", "1"): "bc", ("02", "2"): "cc"}
    for (subject, run), names in shown.items():
        events(tmp_path, subject, run, [f"set/{name}.png" for name in names])
    (tmp_path / "derivatives" / "betas").mkdir(parents=True)
    return tmp_path


def events(root, subject, run, files, column="stim_file"):
    folder = root / f"sub-{subject}" / "func"
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame({"onset": 4.0 * np.arange(len(files)), "duration": 3.0, column: files})
    table.loc[len(table)] = [99.0, 1.0, "n/a"]
    path = folder / f"sub-{subject}_task-look_run-{run}_events.tsv"
    table.to_csv(path, sep="\t", index=False)


def read(root, subjects=("01", "02"), **given):
    dataset = config.Dataset(path=str(root), derivatives="derivatives/betas", task="look")
    source = config.StimulusSource(**{"modality": "image", **given.pop("source", {})})
    table = bids.index_dataset(root, dataset.derivatives, "look")
    return read_stimuli(table, dataset, source, list(subjects), **given)


def test_every_file_is_one_item_and_its_address_leads_to_it(tree):
    items, shown = read(tree)
    assert list(items["modality"].unique()) == ["image"]
    assert [uri.rsplit("/", 1)[1] for uri in items["uri"]] == ["a.png", "b.png", "c.png"]
    for _, item in items.iterrows():
        np.testing.assert_array_equal(read_image(item["uri"]), DRAWN[item["uri"][-5]])
    of_two = shown[(shown["subject"] == "02") & (shown["run"] == "run-2")]
    assert list(of_two["item"]) == [2, 2]
    assert list(of_two["onset"]) == [0.0, 4.0]


def test_equal_content_is_one_content_whatever_its_name(tree):
    items, shown = read(tree)
    assert items["digest"][0] == items["digest"][2] != items["digest"][1]
    of = shown.groupby("item")["content"].unique()
    assert all(len(each) == 1 for each in of)
    assert of[0][0] == of[2][0] != of[1][0]


def test_another_column_and_folder(tree):
    (tree / "pictures").mkdir()
    (tree / "stimuli" / "set" / "b.png").rename(tree / "pictures" / "b.png")
    events(tree, "03", "1", ["b.png"], column="picture")
    items, _ = read(tree, ["03"], source={"column": "picture", "root": "pictures"})
    assert items["uri"][0] == str(tree / "pictures" / "b.png")


@pytest.mark.parametrize("look", [{}, {"look": check_image}])
def test_a_missing_image_is_named_with_how_many_more(tree, look):
    events(tree, "01", "1", ["set/none.png", "set/nothing.png", "set/a.png"])
    with pytest.raises(DataError, match=r"none\.png: no such file.*and 1 more") as caught:
        read(tree, **look)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd"])
def test_names_do_not_lead_out_of_the_folder(tree, name):
    events(tree, "01", "1", [name])
    with pytest.raises(DataError, match="leads out of"):
        read(tree)


def test_a_quick_look_reads_no_content(tree):
    items, _ = read(tree, look=check_image)
    assert set(items["digest"]) == {""}

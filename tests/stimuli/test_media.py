"""Images by address: files of any mode, stacks in HDF5, and what cannot be read."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from PIL import Image

from neuroalign.errors import DataError
from neuroalign.stimuli.media import check_image, content_digest, in_stack, read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.fixture
def stack(tmp_path):
    path = tmp_path / "stack.hdf5"
    with h5py.File(path, "w") as file:
        file["imgBrick"] = np.stack([PIXELS, PIXELS[::-1]])
        file["grey"] = PIXELS[None, ..., 0]
        file["float"] = PIXELS[None] / 255
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff"])
def test_files_give_their_pixels(tmp_path, name):
    Image.fromarray(PIXELS).save(tmp_path / name)
    uri = str(tmp_path / name)
    check_image(uri)
    np.testing.assert_array_equal(read_image(uri), PIXELS)


def test_grey_and_palette_become_rgb(tmp_path):
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "grey.png")
    found = read_image(str(tmp_path / "grey.png"))
    np.testing.assert_array_equal(found, np.repeat(PIXELS[..., :1], 3, axis=2))


def test_transparency_is_laid_on_white(tmp_path):
    alpha = np.dstack([PIXELS, np.zeros((5, 7), np.uint8)])
    alpha[0, 0, 3] = 255
    Image.fromarray(alpha).save(tmp_path / "clear.png")
    found = read_image(str(tmp_path / "clear.png"))
    np.testing.assert_array_equal(found[0, 0], PIXELS[0, 0])
    assert (found[1:] == 255).all()


def test_stacks_are_read_one_image_at_a_time(stack):
    np.testing.assert_array_equal(read_image(in_stack(stack, "imgBrick", 1)), PIXELS[::-1])
    np.testing.assert_array_equal(read_image(in_stack(stack, "grey", 0))[..., 2], PIXELS[..., 0])


def test_digests_follow_content_not_names(tmp_path, stack):
    for name in ("a.png", "b.png"):
        Image.fromarray(PIXELS).save(tmp_path / name)
    assert content_digest(str(tmp_path / "a.png")) == content_digest(str(tmp_path / "b.png"))
    one, other = (content_digest(in_stack(stack, "imgBrick", number)) for number in (0, 1))
    assert one != other


@pytest.mark.parametrize("read", [read_image, check_image])
def test_what_is_not_an_image_is_one_line(tmp_path, stack, read):
    (tmp_path / "text.png").write_text("no image")
    Image.fromarray(PIXELS).save(tmp_path / "whole.png")
    for uri, said in (
        (str(tmp_path / "none.png"), "no such file"),
        (str(tmp_path / "text.png"), "not an image"),
        (str(tmp_path), "not an image"),
        (in_stack(tmp_path / "none.hdf5", "imgBrick", 0), "no such file"),
        (in_stack(tmp_path / "whole.png", "imgBrick", 0), "not an image"),
        (in_stack(stack, "brick", 0), "no dataset 'brick'; it holds float, grey, imgBrick"),
        (in_stack(stack, "imgBrick", 2), "image 2 of 'imgBrick', which holds 2"),
        (in_stack(stack, "float", 0), "expected uint8"),
    ):
        with pytest.raises(DataError, match=r".") as caught:
            read(uri)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_cut_image_is_refused_when_it_is_read(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(DataError, match="not an image"):
        read_image(str(path))

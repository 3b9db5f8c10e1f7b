from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest

from neuroalign.errors import DataError
from neuroalign.recordings.wholeness import check_whole, header_tr


@pytest.fixture
def volume(tree):
    data = np.random.default_rng(0).standard_normal((6, 5, 4, 9)).astype(np.float32)
    return tree.volumes("01", "1", data)


def test_whole_files_pass(tree, volume):
    check_whole(volume)
    plain = volume.with_suffix("")
    plain.write_bytes(gzip.decompress(volume.read_bytes()))
    check_whole(plain)
    check_whole(tree.surface("01", "1", "L", np.ones((5, 4))))


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_cut_compressed_file(volume, share):
    content = volume.read_bytes()
    volume.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match="cut off: its header promises 4672 bytes, there are"):
        check_whole(volume)


def test_several_gzip_members_are_whole(volume):
    content = gzip.decompress(volume.read_bytes())
    volume.write_bytes(gzip.compress(content[:2000]) + gzip.compress(content[2000:]))
    check_whole(volume)
    volume.write_bytes(gzip.compress(content) + gzip.compress(b""))
    check_whole(volume)


def test_a_cut_plain_file(volume):
    plain = volume.with_suffix("")
    plain.write_bytes(gzip.decompress(volume.read_bytes())[:-10])
    with pytest.raises(DataError, match="header promises 4672 bytes, there are 4662"):
        check_whole(plain)


@pytest.mark.parametrize("content", [b"", b"not an image at all", gzip.compress(b"short")])
def test_unreadable_headers(volume, content):
    volume.write_bytes(content)
    with pytest.raises(DataError, match=r"preproc_bold\.nii\.gz: cannot be read") as caught:
        check_whole(volume)
    assert "\n" not in str(caught.value)


def test_one_volume_is_no_time_series(volume):
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3)), np.eye(4)), volume)
    with pytest.raises(DataError, match=r"expected a 4-D image, got shape \(3, 3, 3\)"):
        check_whole(volume)


def test_gifti(tree, monkeypatch):
    path = tree.surface("01", "1", "L", np.random.default_rng(0).standard_normal((7, 500)))
    monkeypatch.setattr("neuroalign.recordings.wholeness._CHUNK", 1000)
    check_whole(path)
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(DataError, match=r"cut off: no closing </GIFTI> after \d of 7 volumes"):
        check_whole(path)
    path.write_text(text.replace('NumberOfDataArrays="7"', 'NumberOfDataArrays="8"'))
    with pytest.raises(DataError, match="7 data arrays, but its header promises 8"):
        check_whole(path)
    path.write_text("<xml>")
    with pytest.raises(DataError, match="not GIFTI"):
        check_whole(path)
    path.write_text("")
    with pytest.raises(DataError, match="the file is empty"):
        check_whole(path)


def test_tables(tmp_path):
    path = tmp_path / "a.tsv"
    for text, message in [
        ("", "table is empty"),
        ("a\tb\n", "table is empty"),
        ("a\tb\n1\t2\n3", "1 of 2 columns"),
    ]:
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            check_whole(path)
    path.write_text("a\tb\n1\t2\n")
    check_whole(path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match=r"no such file; add it$"):
        check_whole(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").symlink_to(tmp_path / "annex")
    with pytest.raises(DataError, match="a link to nothing: download it, as with 'datalad get'"):
        check_whole(tmp_path / "b.nii.gz")


def test_header_tr(volume):
    assert header_tr(volume) == 2.0
    image = nib.load(volume)
    image.header.set_xyzt_units("mm", "msec")
    image.header.set_zooms((2, 2, 2, 1500))
    nib.save(image, volume.with_name("b.nii.gz"))
    assert header_tr(volume.with_name("b.nii.gz")) == 1.5
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2, 2)), np.eye(4)), volume)
    assert header_tr(volume) is None

"""NIfTI, GIFTI and CIFTI files that are cut short, claim too much, or hold something else."""

from __future__ import annotations

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest

GRID, VOLUMES = (3, 4, 2), 24
CHECK, RESPONSES = ("check",), ("responses", "--subject", "01")
BOTH = pytest.mark.parametrize("command", [CHECK, RESPONSES], ids=lambda command: command[0])


def save_volumes(study, run, data, affine=None):
    image = nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1]) if affine is None else affine)
    if data.ndim == 4:
        image.header.set_zooms((2, 2, 2, 2))
        image.header.set_xyzt_units("mm", "sec")
    path = study.recording(run=run, ending="_space-MNI_desc-preproc_bold.nii.gz")
    nib.save(image, path)
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text('{"RepetitionTime": 2.0}')
    return path


@pytest.fixture
def volumes(story):
    rng = np.random.default_rng(0)
    for run in ("1", "2", "3"):
        save_volumes(story, run, rng.standard_normal((*GRID, VOLUMES)).astype(np.float32))
    nib.save(nib.Nifti1Image(np.ones(GRID, np.uint8), np.diag([2.0, 2, 2, 1])), story.data / "mask.nii.gz")
    story.set("responses", {"kind": "volume", "mask": "mask.nii.gz"})
    story.set("dataset.subjects", ["01"])
    return story


def of_run(study, run="1"):
    return study.recording(run=run, ending="_space-MNI_desc-preproc_bold.nii.gz")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def plain(path):
    path.write_bytes(gzip.decompress(path.read_bytes()))


def header(path, offset, form, *values):
    """Write numbers into the header of a compressed image."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into(form, content, offset, *values)
    path.write_bytes(gzip.compress(bytes(content)))


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "not-gzip": plain,
    "garbage": lambda path: path.write_bytes(b"garbage" * 200),
    "gzip-of-garbage": lambda path: path.write_bytes(gzip.compress(b"garbage" * 200)),
    "ten-terabytes": lambda path: header(path, 40, "<8h", 4, 30000, 30000, 100, 30, 1, 1, 1),
    "below-zero": lambda path: header(path, 40, "<8h", 4, -3, 4, 2, 24, 1, 1, 1),
    "no-dimensions": lambda path: header(path, 40, "<8h", 0, 3, 4, 2, 24, 1, 1, 1),
    "unknown-type": lambda path: header(path, 70, "<h", 9999),
    "complex": lambda path: header(path, 70, "<hh", 32, 64),
    "header-only": lambda path: path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:352])),
    "bytes-missing": lambda path: path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-100])),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "link-to-nothing": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@BOTH
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_volume_that_is_damaged(volumes, refused, run, damage, command):
    DAMAGE[damage](of_run(volumes))
    assert run("index", volumes.save()).status == 0
    refused(volumes, *command, named=("bold.nii.gz" if damage != "folder" else "run-1",))


def another_grid(study):
    save_volumes(study, "2", np.ones((3, 4, 3, VOLUMES), np.float32))
    return "run-2", "grid"


def another_affine(study):
    save_volumes(study, "2", np.ones((*GRID, VOLUMES), np.float32), np.eye(4))
    return "run-2", "affine"


def an_affine_of_nan(study):
    header(of_run(study, "2"), 254, "<h", 1)
    header(of_run(study, "2"), 280, "<12f", *[np.nan] * 12)
    return "run-2", "affine"


def one_volume_only(study):
    save_volumes(study, "2", np.ones(GRID, np.float32))
    return "run-2", "4-D"


def a_mask_of_nothing(study):
    nib.save(nib.Nifti1Image(np.zeros(GRID, np.uint8), np.diag([2.0, 2, 2, 1])), study.data / "mask.nii.gz")
    return "mask.nii.gz", "no voxel"


def a_mask_of_another_grid(study):
    nib.save(nib.Nifti1Image(np.ones((9, 9, 9), np.uint8), np.eye(4)), study.data / "mask.nii.gz")
    return "mask.nii.gz", "grid"


def no_mask(study):
    (study.data / "mask.nii.gz").unlink()
    return "mask.nii.gz", "No such file"


def a_huge_mask(study):
    header(study.data / "mask.nii.gz", 40, "<8h", 3, 30000, 30000, 10000, 1, 1, 1, 1)
    return "mask.nii.gz", "promises"


def regions_of_another_grid(study):
    nib.save(nib.Nifti1Image(np.ones((9, 9, 9), np.uint8), np.eye(4)), study.data / "roi.nii.gz")
    study.set("responses.regions", "roi.nii.gz")
    return "roi.nii.gz", "grid"


UNFIT = (another_grid, another_affine, an_affine_of_nan, one_volume_only, a_mask_of_nothing,
         a_mask_of_another_grid, no_mask, a_huge_mask, regions_of_another_grid)  # fmt: skip


@BOTH
@pytest.mark.parametrize("damage", UNFIT, ids=lambda damage: damage.__name__)
def test_volumes_that_do_not_fit(volumes, refused, run, damage, command):
    named = damage(volumes)
    assert run("index", volumes.save()).status == 0
    refused(volumes, *command, named=named)


def test_volumes_of_nan_are_counted(volumes, run):
    for number in ("1", "2", "3"):
        save_volumes(volumes, number, np.full((*GRID, VOLUMES), np.nan, np.float32))
    assert run("index", volumes.save()).status == 0
    ran = run(RESPONSES[0], volumes.save(), *RESPONSES[1:])
    assert ran.status == 0
    assert "24 of 24 targets" in ran.err
    assert not ran.warned


def save_surface(path, data):
    arrays = [nib.gifti.GiftiDataArray(row, intent="NIFTI_INTENT_TIME_SERIES") for row in data]
    nib.save(nib.gifti.GiftiImage(darrays=arrays), path)


@pytest.fixture
def surface(story):
    rng = np.random.default_rng(0)
    for run in ("1", "2", "3"):
        for hemi in "LR":
            path = story.recording(run=run, ending=f"_hemi-{hemi}_space-fsaverage5_bold.func.gii")
            save_surface(path, rng.standard_normal((VOLUMES, 20)).astype(np.float32))
            path.with_name(path.name.replace(".func.gii", ".json")).write_text('{"RepetitionTime": 2.0}')
    story.set("responses", {"kind": "surface"})
    story.set("dataset.subjects", ["01"])
    return story


def edit(old, new):
    return lambda path: path.write_bytes(path.read_bytes().replace(old, new))


GIFTI = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "garbage": lambda path: path.write_bytes(b"garbage" * 200),
    "fewer-arrays": edit(b'NumberOfDataArrays="24"', b'NumberOfDataArrays="30"'),
    "huge": edit(b'Dim0="20"', b'Dim0="2000000000"'),
    "below-zero": edit(b'Dim0="20"', b'Dim0="-20"'),
    "data": edit(b"<Data>", b"<Data>AAAA"),
    "not-gifti": lambda path: path.write_text("<svg></svg>"),
    "hemisphere-away": lambda path: path.unlink(),
    "other-size": lambda path: save_surface(path, np.ones((VOLUMES, 7), np.float32)),
    "fewer-volumes": lambda path: save_surface(path, np.ones((5, 20), np.float32)),
}


@BOTH
@pytest.mark.parametrize("damage", GIFTI)
def test_a_surface_that_is_damaged(surface, refused, run, damage, command):
    if damage in ("data",) and command is CHECK:
        pytest.skip("of which the first lines say nothing wrong")
    GIFTI[damage](surface.recording(ending="_hemi-L_space-fsaverage5_bold.func.gii"))
    assert run("index", surface.save()).status == 0
    refused(surface, *command, named=("run-1",))


@pytest.fixture
def cifti(story):
    model = nib.cifti2.BrainModelAxis.from_surface(np.arange(10), 20, "CORTEX_LEFT")
    for run in ("1", "2", "3"):
        series = nib.cifti2.SeriesAxis(0, 2, VOLUMES)
        values = np.random.default_rng(0).standard_normal((VOLUMES, 10)).astype(np.float32)
        path = story.recording(run=run, ending="_space-fsLR_bold.dtseries.nii")
        nib.save(nib.Cifti2Image(values, (series, model)), path)
        path.with_name(path.name.replace(".dtseries.nii", ".json")).write_text('{"RepetitionTime": 2.0}')
    story.set("responses", {"kind": "cifti"})
    story.set("dataset.subjects", ["01"])
    return story


CIFTI = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "garbage": lambda path: path.write_bytes(b"garbage" * 200),
    "no-xml": lambda path: path.write_bytes(path.read_bytes().replace(b"<CIFTI", b"<WRONG")),
    "a-nifti": lambda path: nib.save(nib.Nifti2Image(np.ones((2, 2, 2, 4), np.float32), np.eye(4)), path),
}


@BOTH
@pytest.mark.parametrize("damage", CIFTI)
def test_grayordinates_that_are_damaged(cifti, refused, run, damage, command):
    CIFTI[damage](cifti.recording(ending="_space-fsLR_bold.dtseries.nii"))
    assert run("index", cifti.save()).status == 0
    refused(cifti, *command, named=("run-1",))

"""What leaves a study: nothing that runs, nothing that others may read, and by what it was made."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat

import numpy as np
import pandas as pd
import pytest

from neuroalign.artefacts import arrays, layout

EVIL = "<script>alert(1)</script>"


def test_text_of_data_is_no_code_in_the_report(results, run):
    for pattern in (layout.SUMMARY, layout.GROUP):
        for subject in ("01", "02"):
            for network in ("net", "nuisance"):
                path = results.made(pattern, subject=subject, network=network)
                made = arrays.open_arrays(path)
                names = np.array([EVIL, '"onload="alert(1)', "'B"], object)
                arrays.save_arrays(made.assign_coords(name=("target", names), roi=("target", names)), path)
    results.set("title", EVIL)
    ran = run("report", results.save())
    assert ran.status == 0, ran.err
    page = (results.out / "report/index.html").read_text()
    assert "alert(1)" in page
    assert EVIL not in page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert "default-src 'none'" in policy
    assert "script-src 'none'" in policy, "a page without a viewer runs nothing"
    assert "http" not in policy


def test_the_viewers_scripts_are_those_that_run():
    from neuroalign.report.page import POLICY, with_policy

    page = with_policy(f"<meta {POLICY}><main><script>alert(1)</script></main><script>\nshow()\n</script>")
    allowed = base64.b64encode(hashlib.sha256(b"\nshow()\n").digest()).decode()
    assert f"'sha256-{allowed}'" in page
    assert page.count("sha256-") == 1
    assert "'unsafe-inline'" not in page


@pytest.mark.parametrize("mask", [0o077, 0o027, 0o022])
def test_files_have_the_mode_of_the_umask(story, run, mask):
    before = os.umask(mask)
    try:
        for command in (("index",), ("stimuli",), ("activations", "--network", "net")):
            assert run(command[0], story.save(), *command[1:]).status == 0
        from neuroalign.settings import configfile
        from neuroalign.stages import starting

        starting.save_config(configfile.load(story.path))
    finally:
        os.umask(before)
    made = [path for path in story.out.rglob("*")]
    assert len(made) > 5
    for path in made:
        assert stat.S_IMODE(path.stat().st_mode) == (0o777 if path.is_dir() else 0o666) & ~mask, path


ARTEFACTS = [
    (layout.INDEX, "index"), (layout.ITEMS, "stimuli"), (layout.EVENTS, "stimuli"),
    (layout.ACTIVATIONS, "activations"), (layout.RESPONSES, "responses"), (layout.SCORES, "fit"),
    (layout.PREDICTIONS, "fit"), (layout.CEILING, "ceiling"), (layout.INFERENCE, "inference"),
    (layout.SUMMARY, "summary"), (layout.GROUP, "group"),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "stage"), ARTEFACTS)
def test_an_artefact_says_by_what_it_was_made(results, run, pattern, stage):
    ran = run("provenance", str(results.made(pattern)))
    assert ran.status == 0, ran.err
    for word in (f"stage: {stage}", "config: config.yaml", "settings_digest: ", "code_digest: ", "seed: 0"):
        assert word in ran.out
    assert "  neuroalign: " in ran.out
    inputs = re.findall(r"^  (\S+): ([0-9a-f]{64})$", ran.out, re.MULTILINE)
    for name, digest in inputs:
        path = results.out / name
        path = path / "zarr.json" if path.is_dir() else path
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert inputs or stage == "index"


def test_a_map_says_by_what_it_was_made(results, run):
    (path,) = results.out.glob("maps/group/*desc-net_*.tsv")
    ran = run("provenance", str(path))
    assert ran.status == 0, ran.err
    assert "stage: group" in ran.out


def test_what_carries_no_stamp_is_refused(tmp_path, run):
    table = tmp_path / "a.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(table)
    (tmp_path / "b.nc").write_bytes(b"garbage")
    for path in (table, tmp_path / "b.nc", tmp_path / "nowhere.nc", tmp_path):
        ran = run("provenance", str(path))
        assert ran.status == 2
        assert len(ran.errors) == 1
        assert str(path) in ran.err


def test_equal_studies_give_equal_stamps(results, run):
    path = results.made(layout.SCORES)
    before = path.read_bytes()
    path.unlink()
    assert run("fit", results.save(), "--subject", "01", "--network", "net", "--encoder", "ridge").status == 0
    assert path.read_bytes() == before

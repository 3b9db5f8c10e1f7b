"""Configs that say what cannot be: one line that names the key, the value and what would do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

BASE = """\
output: {folder}/out
dataset: {{path: {folder}/data, task: story}}
networks:
  net: {{family: features, path: {folder}/features.npy, items: {folder}/items.tsv}}
responses: {{kind: parcels}}
"""

VALUES = [
    ("seed", -1, ("seed", "-1")),
    ("seed", 10**30, ("seed",)),
    ("seed", "many", ("seed", "many")),
    ("seed", None, ("seed", "None")),
    ("seed", float("nan"), ("seed", "nan")),
    ("title", ["a"], ("title",)),
    ("output", 5, ("output", "5")),
    ("output", "", ("output",)),
    ("output", "a\0b", ("output",)),
    ("dataset", "folder", ("dataset", "folder")),
    ("dataset", None, ("dataset",)),
    ("dataset.path", None, ("dataset.path",)),
    ("dataset.path", "", ("dataset.path",)),
    ("dataset.path", "a\0b", ("dataset.path",)),
    ("dataset.path", "${NO_SUCH_VARIABLE_HERE}/x", ("dataset.path", "NO_SUCH_VARIABLE_HERE")),
    ("dataset.task", "../story", ("dataset.task", "../story")),
    ("dataset.task", "storry", ("storry", "story")),
    ("dataset.subjects", ["99"], ("99",)),
    ("dataset.subjects", [], ("dataset.subjects",)),
    ("dataset.subjects", ["01", "01"], ("dataset.subjects", "01")),
    ("dataset.subjects", ["../../etc"], ("dataset.subjects", "../../etc")),
    ("dataset.runs", ["9"], ("runs", "9")),
    ("dataset.runs", [], ("dataset.runs",)),
    ("dataset.runs", 1, ("dataset.runs",)),
    ("dataset.session", "5", ("session 5",)),
    ("dataset.derivatives", "derivatives/fmripep", ("dataset.derivatives", "fmriprep")),
    ("dataset.pth", "x", ("dataset.pth", "did you mean 'path'")),
    ("networks", {}, ("networks",)),
    ("networks", ["net"], ("networks",)),
    ("networks.net.familly", "features", ("familly", "family")),
    ("networks.net.family", "featurs", ("featurs", "features")),
    ("networks.net.path", "nowhere.npy", ("nowhere.npy",)),
    ("networks.net.dtype", "float23", ("dtype", "float23")),
    ("networks.a b", {"source": "x"}, ("networks", "a b")),
    ("networks.nuisance", {"source": "x"}, ("networks.nuisance",)),
    ("responses.kind", "parcel", ("parcel", "parcels")),
    ("responses.kind", None, ("responses.kind",)),
    ("responses.tr", 0, ("responses.tr", "0")),
    ("responses.tr", "two", ("responses.tr", "two")),
    ("responses.tr", 3.0, ("3 s in responses.tr", "2 s in the sidecar")),
    ("responses.tr", 1e300, ("responses.tr",)),
    ("responses.trim_s", [1], ("responses.trim_s",)),
    ("responses.trim_s", [1000, 1000], ("trim_s",)),
    ("responses.trim_s", [float("nan"), 0], ("responses.trim_s", "nan")),
    ("responses.high_pass_hz", -0.1, ("responses.high_pass_hz", "-0.1")),
    ("responses.high_pass_hz", float("inf"), ("responses.high_pass_hz", "inf")),
    ("responses.high_pass_hz", 0.4, ("high_pass_hz",)),
    ("responses.confounds", ["nothing_*"], ("nothing_*",)),
    ("responses.glm", "lss", ("responses", "glm")),
    ("responses.mask", "mask.nii.gz", ("responses.mask",)),
    ("responses.sensors", {"sampling_hz": 5}, ("sensors",)),
    ("responses.samples", "trials", ("responses",)),
    ("design.delays", [], ("design", "delays")),
    ("design.delays", [-2], ("design.delays", "-2")),
    ("design.delays", [float("nan")], ("design.delays", "nan")),
    ("design.delays", [1e9], ("design.delays",)),
    ("design.resample", "lancsoz", ("lancsoz", "lanczos")),
    ("design.lanczos_window", 0, ("lanczos_window", "0")),
    ("design.folds", {"by": "subject"}, ("design.folds.by", "subject")),
    ("design.folds", {"by": "item"}, ("design.folds.by",)),
    ("design.folds", {"n": 1}, ("design.folds.n", "1")),
    ("design.folds", {"gap_s": -5}, ("design.folds.gap_s", "-5")),
    ("design.nuisance", {"networks": ["nett"]}, ("nett", "net")),
    ("design.nuisance", {"networks": ["net"]}, ("design.nuisance.networks",)),
    ("design.nuisance", {"columns": ["sound"]}, ("sound",)),
    ("design.lags", {}, ("design.lags",)),
    ("encoders", [], ("encoders",)),
    ("encoders", ["rigde"], ("rigde", "ridge")),
    ("encoders", ["ridge", "ridge"], ("encoders", "ridge")),
    ("encoders", ["stack"], ("stack", "cross_attention")),
    ("encoders", "ridge", ("encoders", "ridge")),
    ("ridge.alphas", {"lowest": 0}, ("ridge.alphas.lowest", "0")),
    ("ridge.alphas", {"lowest": 10, "highest": 1}, ("ridge.alphas",)),
    ("ridge.alphas", {"count": 10**9}, ("ridge.alphas.count",)),
    ("ridge.alphas", {"highest": float("inf")}, ("ridge.alphas.highest", "inf")),
    ("inference.permutations", 10**12, ("inference.permutations",)),
    ("inference.level", 1.5, ("inference.level", "1.5")),
    ("ceiling.method", "subject", ("subject", "subjects")),
    ("ceiling.bootstraps", 10**12, ("ceiling.bootstraps",)),
    ("stimuli.column", "wrd", ("wrd", "word")),
    ("stimuli.source", "table", ("stimuli", "path")),
    ("stimuli.offset_s", float("inf"), ("stimuli.offset_s", "inf")),
    ("stimuli.step_s", 0, ("stimuli.step_s",)),
    ("simulate", {"kind": "storry"}, ("storry", "story")),
    ("simulate", {"subjects": 0}, ("simulate", "0")),
    ("simulate", {"subjects": 10**9}, ("simulate",)),
    ("group", "perhaps", ("group", "perhaps")),
]


@pytest.mark.parametrize(
    ("key", "value", "named"), VALUES, ids=[f"{number}-{key}" for number, (key, *_) in enumerate(VALUES)]
)
def test_a_value_that_cannot_be(story, refused, key, value, named):
    story.set(key, value)
    refused(story, "check", named=named)


TEXTS = {
    "empty": (b"", ("mapping", "NoneType")),
    "blank": (b"\n# nothing\n", ("mapping",)),
    "list": (b"- a\n- b\n", ("mapping", "list")),
    "words": (b"just words", ("mapping", "str")),
    "no-yaml": (b"a: [1, 2\nb: }", ("not valid YAML",)),
    "tab": (b"a:\n\tb: 1\n", ("not valid YAML",)),
    "latin-1": ("title: Köln\n".encode("latin-1"), ("cannot be read",)),
    "utf-16": ("title: x\n".encode("utf-16"), ("cannot be read",)),
    "binary": (bytes(range(256)), ("cannot be read",)),
    "control": (b"title: a\x07b\n", ("not valid YAML",)),
    "tag": (b"title: !!python/object/apply:os.system ['true']\n", ("not valid YAML",)),
    "two-documents": (b"a: 1\n---\nb: 2\n", ("not valid YAML",)),
    "anchor-nowhere": (b"title: *nowhere\n", ("not valid YAML",)),
    "number-key": (b"1: 2\n", ("1",)),
    "list-key": (b"? [a, b]\n: 2\n", ("not valid YAML",)),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_that_is_no_config(story, refused, name, monkeypatch):
    content, named = TEXTS[name]
    story.path.write_bytes(content)
    monkeypatch.setattr(story, "save", lambda: str(story.path))
    refused(story, "check", named=("study.yaml", *named))


MORE = {
    "twice": ("responses: {kind: parcels}\n", ("'responses'", "twice")),
    "twice-within": ("design: {delays: [2], delays: [4]}\n", ("'delays'", "twice")),
    "laughs": (
        "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)),
        ("more than 100,000 values",),
    ),
    "deep": (f"title: {'[' * 5000}{']' * 5000}\n", ("study.yaml",)),
    "itself": ("design: &d {folds: *d}\n", ("design",)),
    "long-number": (f"seed: {'9' * 5000}\n", ("5000 digits",)),
    "too-long": (f"title: {'x' * 10**6}\n", ("1,000,000 bytes",)),
    "date": ("title: 2020-01-01\n", ("title",)),
    "unknown-with-control": ('"a\\e[31m": 1\n', ("a key", "\\x1b")),
    "long-value": (f"title: [{'x' * 10**5}]\n", ("title",)),
}


@pytest.mark.parametrize("name", MORE)
def test_a_config_with_one_line_too_many(story, refused, name, monkeypatch):
    text, named = MORE[name]
    story.path.write_text(BASE.format(folder=story.folder) + text)
    monkeypatch.setattr(story, "save", lambda: str(story.path))
    refused(story, "check", named=named)


def test_a_folder_is_no_config(story, refused, monkeypatch):
    monkeypatch.setattr(story, "save", lambda: str(story.folder))
    refused(story, "check", named=(str(story.folder), "cannot be read"))


@pytest.mark.parametrize("place", ["out", "out/stimuli"])
def test_a_file_stands_where_a_folder_should(story, run, place):
    assert run("index", story.save()).status == 0
    target = story.folder / place
    if place == "out":
        shutil.rmtree(target)
    target.write_text("")
    ran = run("index" if place == "out" else "stimuli", story.save())
    assert ran.status == 2, ran.err
    assert len(ran.errors) == 1, ran.err
    assert str(target) in ran.errors[0]


OPTIONS = {
    "subject": (["--subject", "99", "--network", "net", "--encoder", "ridge"], ("subject '99'", "01")),
    "path": (["--subject", "../../x", "--network", "net", "--encoder", "ridge"], ("../../x",)),
    "network": (["--subject", "01", "--network", "nett", "--encoder", "ridge"], ("nett", "net")),
    "encoder": (["--subject", "01", "--network", "net", "--encoder", "rigde"], ("rigde", "ridge")),
}


@pytest.mark.parametrize("stage", ["fit", "inference", "summary"])
@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_names_nothing(results, refused, stage, name):
    options, named = OPTIONS[name]
    refused(results, stage, *options, named=named)


SHELL = [
    (["check", "nowhere.yaml"], "nowhere.yaml"),
    (["fit", "nowhere.yaml", "--subject", "1"], "required"),
    (["chek", "x"], "check"),
]


@pytest.mark.parametrize(("arguments", "named"), SHELL, ids=[one[0][0] for one in SHELL])
def test_the_same_from_a_shell(tmp_path, arguments, named):
    ran = subprocess.run(
        [sys.executable, "-m", "neuroalign", *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 2
    assert len(re.findall("^neuroalign: error: ", ran.stderr, re.MULTILINE)) == 1, ran.stderr
    assert named in ran.stderr
    assert "Traceback" not in ran.stderr

"""Random damage to configs and tables: either they are read, or one error says what is wrong."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroalign.errors import ConfigError, DataError
from neuroalign.settings import configfile
from neuroalign.stimuli.events import read_tsv

QUIETLY = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)

VALID = {
    "title": "a study",
    "output": "out",
    "seed": 3,
    "dataset": {"path": "data", "task": "story", "subjects": ["01", "02"], "runs": ["1"]},
    "stimuli": {"source": "events", "column": "word", "skip": ["", "n/a"], "passage": "run"},
    "networks": {"net": {"source": "folder", "layers": "all", "context": 4}, "light": {"family": "handmade",
                 "features": ["word_length"]}},
    "responses": {"kind": "parcels", "tr": 2.0, "confounds": ["trans_*"], "trim_s": [0, 2]},
    "design": {"delays": [2, 4], "nuisance": {"word_rate": True}, "folds": {"by": "run"}},
    "encoders": ["ridge", "banded_ridge"],
    "ridge": {"alphas": {"lowest": 0.1, "highest": 10, "count": 3}},
    "inference": {"permutations": 99, "level": 0.05},
}  # fmt: skip

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12),
    st.sampled_from(["all", "trials", "eeg", "array", "vision", "${HOME}", "../x", "~", "item"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(tree, at=()):
    """Every key and index of a nested mapping, as a path."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield (*at, key)
        yield from places(value, (*at, key))


@st.composite
def damaged(draw):
    config = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(sorted(places(config), key=str)))
        section = config
        for key in path[:-1]:
            section = section[key]
        action = draw(st.sampled_from(["replace", "delete", "add"]))
        if action == "delete":
            del section[path[-1]]
        elif action == "add" and isinstance(section, dict):
            section[draw(st.text(max_size=8) | st.integers() | st.sampled_from(["path", "kind", "n"]))] = (
                draw(VALUES)
            )
        else:
            section[path[-1]] = draw(VALUES)
    return config


def readable(message, place):
    line = " ".join(message.split())
    assert place in line
    assert len(line) < 20_000
    assert "Traceback" not in line


@QUIETLY
@given(damaged())
def test_a_config_is_parsed_or_refused_in_one_line(config):
    try:
        configfile.parse(config, "study.yaml")
    except ConfigError as error:
        readable(str(error), "study.yaml: ")


@QUIETLY
@given(damaged(), st.integers(0, 400), st.binary(max_size=6))
def test_the_text_of_a_config_is_read_or_refused_in_one_line(config, at, more):
    text = yaml.safe_dump(config, allow_unicode=True).encode("utf-8", "replace")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "study.yaml")
        path.write_bytes(text[:at] + more + text[at:])
        try:
            configfile.load(path)
        except ConfigError as error:
            readable(str(error), str(path))


def test_what_is_damaged_is_well_before():
    assert configfile.parse(VALID).title == "a study"


TABLE = b"onset\tduration\tword\n" + b"".join(b"%d.5\t0.5\tword%d\n" % (n, n) for n in range(6))


@QUIETLY
@given(st.lists(st.tuples(st.integers(0, len(TABLE)), st.integers(0, 8), st.binary(max_size=5)), max_size=4))
def test_a_table_is_read_or_refused_in_one_line(edits):
    content = TABLE
    for at, length, more in edits:
        content = content[:at] + more + content[at + length :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "events.tsv")
        path.write_bytes(content)
        try:
            table = read_tsv(path)
        except DataError as error:
            readable(str(error), str(path))
        else:
            assert table.map(lambda cell: isinstance(cell, str)).all(axis=None)


CELLS = st.text(max_size=10) | st.sampled_from(["item", "text", "run", "a.png", "../a"])
HEADERS = st.sampled_from(["item", "text", "item\trun"])


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    from neuroalign.recordings.trial_tables import find_blocks
    from neuroalign.settings.config import Study

    root = tmp_path_factory.mktemp("fuzzed")
    study: Study = configfile.parse(
        {
            "dataset": {"path": str(root), "task": "images", "subjects": ["01"]},
            "networks": {"net": {"family": "handmade", "features": ["luminance"]}},
            "responses": {"kind": "array", "path": "{subject}.npy", "items": "{subject}.tsv"},
        }
    )
    (root / "01.npy").touch()
    return root, lambda: find_blocks(study.dataset, study.responses, "01")


@QUIETLY
@given(st.lists(st.lists(CELLS, min_size=1, max_size=3), max_size=5), HEADERS)
def test_a_table_of_trials_is_read_or_refused_in_one_line(fuzzed, rows, header):
    root, find = fuzzed
    text = "\n".join([header, *("\t".join(row) for row in rows)])
    (root / "01.tsv").write_text(text, encoding="utf-8", errors="replace", newline="")
    try:
        for block in find():
            uris = block.items.get("uri", ())
            assert all(Path(uri).resolve().is_relative_to(root.resolve()) for uri in uris)
    except DataError as error:
        readable(str(error), "01.tsv")

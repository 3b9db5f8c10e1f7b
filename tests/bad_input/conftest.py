"""What every kind of bad input must meet: one line that says what to mend, status 2, and nothing written."""

from __future__ import annotations

import json
import re
import resource
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from neuroalign import cli

LONGEST_S = 20.0
"""What takes longer hangs."""

MOST_MEMORY_KB = 600_000
"""What asks for more memory than this, beyond what was in use, believed a header."""

BEGINS = "neuroalign: error: "
REMEDY = re.compile(
    r"; |\(choices: |did you mean|"
    r"\b(add|correct|mend|give|set|remove|copy|run|make|expected|should|name|use)\b"
)
PEOPLE, RUNS, VOLUMES, WORDS = ("01", "02"), ("1", "2", "3"), 24, 18


class Ran:
    """What a command said and did."""

    def __init__(self, status: int, out: str, err: str, warned: list[str]) -> None:
        self.status, self.out, self.err, self.warned = status, out, err, warned
        self.errors = [line for line in err.splitlines() if line.startswith(BEGINS)]


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Interrupt what hangs."""

    def stop(*_: object) -> None:
        raise AssertionError(f"it hangs: more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file that counts as a result, and what would change if it were written again."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file() and not any(part.endswith(".partial") for part in path.parts)
    }


class Study:
    """A study on disk that a test damages."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder, self.config = folder, config
        self.data, self.out = folder / "data", folder / "out"

    @property
    def path(self) -> Path:
        return self.folder / "study.yaml"

    def save(self) -> str:
        self.path.write_text(yaml.safe_dump(self.config, sort_keys=False))
        return str(self.path)

    def set(self, key: str, value: object) -> None:
        *sections, last = key.split(".")
        place = self.config
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value

    def events(self, subject: str = "01", run: str = "1") -> Path:
        return self.data / f"sub-{subject}/func/sub-{subject}_task-story_run-{run}_events.tsv"

    def recording(self, subject: str = "01", run: str = "1", ending: str = "_timeseries.tsv") -> Path:
        folder = self.data / f"derivatives/fmriprep/sub-{subject}/func"
        return folder / f"sub-{subject}_task-story_run-{run}{ending}"

    def made(self, pattern: str, **which: str) -> Path:
        about = {"subject": "01", "network": "net", "encoder": "ridge", **which}
        return self.out / pattern.format(**about)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command of the command line as a shell would."""

    def call(*arguments: str) -> Ran:
        capfd.readouterr()
        with warnings.catch_warnings(record=True) as warned, no_longer_than(LONGEST_S):
            warnings.simplefilter("default")
            try:
                status = cli.main(list(arguments))
            except SystemExit as ended:  # by argparse
                status = int(ended.code or 0)
        shown = capfd.readouterr()
        return Ran(status, shown.out, shown.err, [str(one.message) for one in warned])

    return call


@pytest.fixture
def refused(run: Callable[..., Ran]) -> Callable[..., str]:
    """Run a command that must refuse its input; its one line is returned."""

    def check(study: Study, command: str, *options: str, named: tuple[str, ...] = ()) -> str:
        study.out.mkdir(exist_ok=True)
        before, memory = state_of(study.out), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ran = run(command, study.save(), *options)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
        assert ran.status == 2, f"status {ran.status}: {ran.out}{ran.err}"
        # `check` says all that is wrong at once, a line each.
        assert len(ran.errors) == 1 or (command == "check" and ran.errors), ran.err
        others = [line for line in ran.err.splitlines() if not line.startswith("neuroalign: ")]
        assert not others, f"more than one line: {others}"
        assert not ran.warned, f"warnings stand beside the line: {ran.warned}"
        assert "Traceback" not in ran.err
        said = "\n".join(ran.errors)
        for word in named:
            assert word in said, f"'{word}' is not in: {said}"
        for line in ran.errors:
            assert REMEDY.search(line.removeprefix(BEGINS)), f"no remedy: {line}"
            assert len(line) < 1000, f"too long to be read: {line}"
        assert all(one.isprintable() for one in said.replace("\n", "")), "a terminal would obey it"
        assert state_of(study.out) == before, "a result was written"
        left = [path for path in study.out.rglob(".*")]
        assert not left, f"left behind: {left}"
        assert grown < MOST_MEMORY_KB, f"{grown / 1024:.0f} MiB more memory"
        return said

    return check


def write_story(data: Path) -> None:
    """Two people who hear the same three runs: three parcels each."""
    rng = np.random.default_rng(3)
    write_json(data / "dataset_description.json", {"Name": "tiny", "BIDSVersion": "1.10.0"})
    words = [f"word{number}" for number in range(len(RUNS) * WORDS)]
    for subject in PEOPLE:
        for place, run in enumerate(RUNS):
            stem = f"sub-{subject}_task-story_run-{run}"
            raw, made = data / f"sub-{subject}/func", data / f"derivatives/fmriprep/sub-{subject}/func"
            for folder in (raw, made):
                folder.mkdir(parents=True, exist_ok=True)
            onset = np.arange(WORDS) * 2.0 + 1
            heard = words[place * WORDS : (place + 1) * WORDS]
            events = pd.DataFrame({"onset": onset, "duration": 0.5, "word": heard})
            events.to_csv(raw / f"{stem}_events.tsv", sep="\t", index=False)
            values = pd.DataFrame(rng.standard_normal((VOLUMES, 3)).round(4), columns=["A", "B", "C"])
            values.to_csv(made / f"{stem}_timeseries.tsv", sep="\t", index=False)
            write_json(made / f"{stem}_timeseries.json", {"RepetitionTime": 2.0})
            confounds = pd.DataFrame(rng.standard_normal((VOLUMES, 2)).round(4), columns=["trans_x", "rot_x"])
            confounds.to_csv(made / f"{stem}_desc-confounds_timeseries.tsv", sep="\t", index=False)
    np.save(data.parent / "features.npy", rng.standard_normal((len(words), 5)).astype(np.float32))
    (data.parent / "items.tsv").write_text("item\n" + "".join(f"{word}\n" for word in words))


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def story_config(folder: Path) -> dict[str, Any]:
    return {
        "output": str(folder / "out"),
        "dataset": {"path": str(folder / "data"), "task": "story"},
        "networks": {
            "net": {
                "family": "features",
                "path": str(folder / "features.npy"),
                "items": str(folder / "items.tsv"),
            }
        },
        "responses": {"kind": "parcels", "confounds": ["trans_*"]},
        "design": {"delays": [2, 4], "nuisance": {"delays": [0, 2, 4]}},
        "ridge": {"alphas": {"count": 3}},
        "ceiling": {"bootstraps": 50},
        "inference": {"permutations": 99},
    }


PIPELINE = (
    ("index",),
    ("stimuli",),
    ("activations", "--network", "net"),
    *(("responses", "--subject", subject) for subject in PEOPLE),
    *(
        ("fit", "--subject", subject, "--network", network, "--encoder", "ridge")
        for subject in PEOPLE
        for network in ("net", "nuisance")
    ),
    ("ceiling",),
    *(("inference", "--subject", subject, "--network", "net", "--encoder", "ridge") for subject in PEOPLE),
    *(
        ("summary", "--subject", subject, "--network", network, "--encoder", "ridge")
        for subject in PEOPLE
        for network in ("net", "nuisance")
    ),
    *(("group", "--network", network, "--encoder", "ridge") for network in ("net", "nuisance")),
    ("maps",),
)
"""Every stage of the small study, but the report."""


def made_study(folder: Path) -> Study:
    write_story(folder / "data")
    study = Study(folder, story_config(folder))
    study.save()
    return study


@pytest.fixture(scope="session")
def kept_story(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The small study before any stage; never changed."""
    return made_study(tmp_path_factory.mktemp("story"))


@pytest.fixture(scope="session")
def kept_results(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The small study with what all its stages made; never changed."""
    study = made_study(tmp_path_factory.mktemp("results"))
    for command, *options in PIPELINE:
        assert cli.main([command, str(study.path), *options]) == 0, command
    return study


def copied(kept: Study, folder: Path) -> Study:
    shutil.copytree(kept.folder, folder, dirs_exist_ok=True, symlinks=True)
    text = kept.path.read_text().replace(str(kept.folder), str(folder))
    return Study(folder, yaml.safe_load(text))


@pytest.fixture
def story(kept_story: Study, tmp_path: Path) -> Study:
    """The small study, to be damaged."""
    return copied(kept_story, tmp_path)


@pytest.fixture
def results(kept_results: Study, tmp_path: Path) -> Study:
    """The small study and its artefacts, to be damaged."""
    return copied(kept_results, tmp_path)

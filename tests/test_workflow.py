"""The workflow: which jobs there are, and what makes them run again.

The jobs' command is replaced by one that only writes the files that the stage promises, so that
real runs of Snakemake take seconds.
"""

from __future__ import annotations

import copy
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]

STUDY = {
    "output": "results",
    "dataset": {"path": "bids", "task": "story"},
    "networks": {"tiny": {"source": "folder", "untrained": False}},
    "responses": {"kind": "parcels"},
}

BOTH = ["ridge", "banded_ridge"]

STAND_IN = """#!{python}
import sys
from pathlib import Path
import yaml
from neuroalign.artefacts import layout as L

command, *rest = sys.argv[1:]
config = rest[rest.index("--config") + 1] if "--config" in rest else rest[0]
given = {{key[2:]: value for key, value in zip(rest, rest[1:]) if key.startswith("--")}}
study = yaml.safe_load(Path(config).read_text())
out = Path(study["output"])
log = Path(given.get("log", "logs/of.log"))
log.parent.mkdir(parents=True, exist_ok=True)
if Path("broken").exists() and Path("broken").read_text() == f"{{command}} {{given.get('subject')}}":
    log.write_text("planted")
    sys.exit("neuroalign: error: planted failure; mend it")
made = {{
    "simulate": [Path(rest[0], "dataset_description.json")],
    "index": [out / L.INDEX],
    "check": [],
    "plan": [],
    "stimuli": [out / L.ITEMS, out / L.EVENTS],
    "activations": [out / L.ACTIVATIONS / "zarr.json"],
    "responses": [out / L.RESPONSES],
    "fit": [out / L.SCORES, out / L.PREDICTIONS],
    "joint": [str(out / kind).replace("{{subject}}", name)
              for kind in (L.SCORES, L.PREDICTIONS) for name in ("01", "02")],
    "ceiling": [out / L.CEILING.format(subject=name) for name in ("01", "02")],
    "inference": [out / L.INFERENCE],
    "summary": [out / L.SUMMARY],
    "group": [out / L.GROUP],
    "maps": [out / L.MAPS / "dataset_description.json"],
    "report": [out / L.REPORT / "index.html", out / L.REPORT / "tables" / "a.tsv"],
}}[command]
for path in made:
    path = Path(str(path).format(**given))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(command)
log.write_text("done")
"""


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the project's workflow in `folder`, with the stand-in for `neuroalign` where there is one."""
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
    }
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--directory",
        str(folder),
    ]
    return subprocess.run(
        [*command, "--cores", "2", "--nocolor", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def jobs(ran: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """How often each rule runs, from Snakemake's table."""
    assert ran.returncode == 0, ran.stdout + ran.stderr
    text = ran.stdout + ran.stderr
    if "Nothing to be done" in text:
        return {}
    table = text.split("Job stats:", 1)[1].split("total", 1)[0]
    counts = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    counts.pop("all", None)
    return counts


def written(folder: Path, study: dict, name: str = "study.yaml") -> str:
    (folder / name).write_text(yaml.safe_dump(study))
    return name


def changed(key: str, value: object) -> dict:
    """The small study with one dotted key set."""
    study = copy.deepcopy(STUDY)
    section = study
    *path, last = key.split(".")
    for part in path:
        section = section.setdefault(part, {})
    section[last] = value
    return study


def prepare(folder: Path) -> Path:
    for subject in ("01", "02"):
        (folder / "bids" / f"sub-{subject}").mkdir(parents=True)
    script = folder / "bin" / "neuroalign"
    script.parent.mkdir()
    script.write_text(STAND_IN.format(python=sys.executable))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the small study has been run once."""
    folder = prepare(tmp_path_factory.mktemp("study"))
    ran = snakemake(folder, "--configfile", written(folder, STUDY))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


def dry_run(folder: Path, study: dict) -> dict[str, int]:
    return jobs(snakemake(folder, "--dry-run", "--configfile", written(folder, study, "changed.yaml")))


SUMMARISED = {"summary", "group", "maps", "report"}
FITTED = SUMMARISED | {"fit", "inference"}


def test_the_demonstration_lists_its_jobs_and_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    ran = snakemake(tmp_path, "--dry-run", "--configfile", str(ROOT / "config/config.yaml"))
    assert jobs(ran) == {
        "simulate": 1,
        "index": 1,
        "stimuli": 1,
        "activations": 2,
        "responses": 3,
        "fit": 6,
        "fit_nuisance": 3,
        "ceiling": 1,
        "inference": 6,
        "summary": 6,
        "summary_nuisance": 3,
        "group": 3,
        "maps": 1,
        "report": 1,
    }
    assert not (tmp_path / "results").exists()


def test_a_second_run_runs_nothing(finished: Path) -> None:
    assert (finished / "results/report/index.html").exists()
    assert (finished / "results/config.yaml").exists()
    assert jobs(snakemake(finished, "--configfile", written(finished, STUDY))) == {}


def test_own_config_replaces_the_demonstration(finished: Path) -> None:
    """Merged with the demonstration, this study would be simulated."""
    assert not (finished / "results/logs/simulate.log").exists()
    assert yaml.safe_load((finished / "results/config.yaml").read_text())["simulate"] is None


def test_another_encoder_runs_beside_what_is_there(finished: Path) -> None:
    """Scores, tests, summaries and the group of ridge stay; only what shows all of it is made again."""
    ran = snakemake(
        finished, "--dry-run", "--configfile", written(finished, changed("encoders", BOTH), "more.yaml")
    )
    new = {"fit": 2, "fit_nuisance": 2, "inference": 2, "summary": 2, "summary_nuisance": 2, "group": 2}
    assert jobs(ran) == {**new, "maps": 1, "report": 1}
    encoders = re.findall(r"encoder-(\w+)\.nc", "".join(re.findall(r"output: .*", ran.stdout + ran.stderr)))
    assert set(encoders) == {"banded_ridge"}


def test_a_key_of_one_encoder_leaves_the_other_alone(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    study = changed("encoders", BOTH)
    jobs(snakemake(folder, "--configfile", written(folder, study)))
    assert (folder / "results/scores/sub-02_network-tiny_encoder-banded_ridge.nc").exists()
    assert jobs(snakemake(folder, "--configfile", written(folder, study))) == {}
    found = dry_run(folder, {**study, "banded_ridge": {"candidates": 9}})
    assert (found["fit"], found["fit_nuisance"], found["group"]) == (2, 2, 2)


STACKED = ["ridge", "cross_attention", "stack"]
BESIDE = {"fit_nuisance": 4, "inference": 4, "summary": 4, "summary_nuisance": 4, "group": 4}
"""Jobs of two further encoders of one network and two subjects, beside the fits themselves."""


def test_cross_attention_and_the_stack_run_beside_what_is_there(finished: Path) -> None:
    found = dry_run(finished, changed("encoders", STACKED))
    assert found == {"fit_attention": 2, "fit_stack": 2, **BESIDE, "maps": 1, "report": 1}


def test_one_network_for_all_is_one_job(finished: Path) -> None:
    study = changed("encoders", STACKED)
    study["cross_attention"] = {"universal": True, "device": "cuda"}
    ran = snakemake(finished, "--dry-run", "--configfile", written(finished, study, "joint.yaml"))
    assert jobs(ran) == {"fit_jointly": 1, "fit_stack": 2, **BESIDE, "maps": 1, "report": 1}
    assert "gpu=1" in ran.stdout + ran.stderr


def test_the_mean_subject_has_a_network_of_its_own(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    study = changed("encoders", STACKED[:2]) | {"cross_attention": {"universal": True}}
    study["responses"]["average"] = True
    found = dry_run(folder, study)
    assert (found["fit_jointly"], found["fit_attention"], found["fit"]) == (1, 1, 3)


def test_a_joint_fit_writes_the_scores_of_every_subject(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    study = changed("encoders", STACKED) | {"cross_attention": {"universal": True}}
    assert jobs(snakemake(folder, "--configfile", written(folder, study)))["fit_jointly"] == 1
    for subject in ("01", "02"):
        for encoder in STACKED:
            path = f"results/scores/sub-{subject}_network-tiny_encoder-{encoder}.nc"
            assert (folder / path).exists()
    assert jobs(snakemake(folder, "--configfile", written(folder, study))) == {}
    again = dry_run(folder, {**study, "cross_attention": {"universal": True, "steps": 9}})
    assert (again["fit_jointly"], again["fit_stack"]) == (1, 2)
    assert "fit" not in again


@pytest.mark.parametrize(
    ("key", "value", "rerun"),
    [
        ("design.delays", [2, 4], FITTED | {"fit_nuisance", "summary_nuisance"}),
        ("networks.tiny.context", 5, FITTED | {"activations"}),
        ("networks.tiny.untrained", True, None),
        (
            "responses.high_pass_hz",
            0.02,
            FITTED | {"responses", "ceiling", "fit_nuisance", "summary_nuisance"},
        ),
        ("title", "another", {"maps", "report"}),
    ],
)
def test_a_key_reruns_only_what_reads_it(
    finished: Path, key: str, value: object, rerun: set[str] | None
) -> None:
    found = dry_run(finished, changed(key, value))
    if rerun is None:
        assert found["activations"] == 1, "only the twin is extracted"
        assert found["fit"] == 2
        assert {"responses", "stimuli", "index", "fit_nuisance"}.isdisjoint(found)
    else:
        assert set(found) == rerun


def test_other_files_behind_the_same_paths_are_extracted_again(tmp_path: Path) -> None:
    """Other weights, another preprocessing, other stimuli: what was made of them runs again, no more."""
    folder = prepare(tmp_path)
    saved = folder / "saved"
    saved.mkdir()
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        (saved / name).write_text("{}")
    shown = folder / "bids" / "stimuli" / "cat" / "01.png"
    shown.parent.mkdir(parents=True)
    shown.write_text("a cat")
    study = copy.deepcopy(STUDY)
    study["networks"] = {"eye": {"family": "vision", "source": "saved", "untrained": True}}
    study["stimuli"] = {"modality": "image"}
    study["responses"] = {"kind": "parcels", "samples": "trials"}
    jobs(snakemake(folder, "--configfile", written(folder, study)))
    assert jobs(snakemake(folder, "--configfile", written(folder, study))) == {}

    (saved / "model.safetensors").write_text("[]")
    found = dry_run(folder, study)
    assert (found["activations"], found["fit"]) == (1, 2), "the untrained twin has no such weights"
    assert {"stimuli", "responses", "fit_nuisance"}.isdisjoint(found)
    assert jobs(snakemake(folder, "--configfile", written(folder, study)))["activations"] == 1
    assert jobs(snakemake(folder, "--configfile", written(folder, study))) == {}

    (saved / "preprocessor_config.json").write_text("[]")
    assert dry_run(folder, study)["activations"] == 2
    (saved / "preprocessor_config.json").write_text("{}")
    assert dry_run(folder, study) == {}

    shown.write_text("another cat")
    found = dry_run(folder, study)
    assert (found["stimuli"], found["activations"], found["fit"]) == (1, 2, 4)
    assert "index" not in found


def test_a_failure_shows_its_line_and_keeps_earlier_results(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    (folder / "broken").write_text("responses 02")
    ran = snakemake(folder, "--keep-going", "--configfile", written(folder, STUDY))
    assert ran.returncode == 1
    assert "neuroalign: error: planted failure; mend it" in ran.stderr
    assert (folder / "results/activations/tiny.zarr/zarr.json").exists()
    assert (folder / "results/scores/sub-01_network-tiny_encoder-ridge.nc").exists()
    assert not (folder / "results/responses/sub-02.nc").exists()
    (folder / "broken").unlink()
    again = snakemake(folder, "--configfile", written(folder, STUDY))
    assert jobs(again)["responses"] == 1
    assert "activations" not in jobs(again)


def test_what_the_check_finds_stops_the_run_before_its_first_job(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    (folder / "broken").write_text("check None")
    ran = snakemake(folder, "--configfile", written(folder, STUDY))
    assert ran.returncode == 2
    assert "neuroalign: error: planted failure; mend it" in ran.stderr
    assert not (folder / "results/index.parquet").exists()
    (folder / "broken").unlink()
    assert snakemake(folder, "--until", "index", "--configfile", "study.yaml").returncode == 0, "left no lock"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("desing.delays", [2], "unknown key 'desing': did you mean 'design'?"),
        ("dataset.path", "nowhere", "dataset.path: no folder at 'nowhere'"),
        ("encoders", ["ridge", "stack"], "encoders: 'stack' mixes ridge and cross_attention"),
    ],
)
def test_a_wrong_config_is_one_line_and_status_2(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    ran = snakemake(tmp_path, "--configfile", written(tmp_path, changed(key, value)))
    assert ran.returncode == 2
    lines = [line for line in ran.stderr.splitlines() if "error" in line.lower()]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in ran.stderr


def test_one_key_from_the_command_line(finished: Path) -> None:
    ran = snakemake(
        finished, "--dry-run", "--configfile", written(finished, STUDY), "--config", "design={delays: [2, 4]}"
    )
    assert set(jobs(ran)) == FITTED | {"fit_nuisance", "summary_nuisance"}


def test_lint_is_clean() -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "workflow/lint.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_rules_hold_no_python_of_their_own() -> None:
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        assert not re.search(r"\blambda\b|^\s+(run|script|notebook):", text, re.MULTILINE), path.name
        if path.name != "common.smk":
            for directive in ("output", "log", "benchmark", "threads", "resources", "shell"):
                assert text.count(f" {directive}:") == len(
                    re.findall(r"^\s*rule \w+:", text, re.MULTILINE)
                ), f"{path.name}: {directive}"


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    folder = prepare(tmp_path)
    script = folder / "bin" / "neuroalign"
    slow = script.read_text().replace(
        "made = {", "import time\ntime.sleep(600 * (command == 'index'))\nmade = {", 1
    )
    script.write_text(slow)
    name = written(folder, STUDY)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", "2", "--configfile", name, "--nocolor"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    first = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **quiet)
    try:
        for _ in range(3000):
            if (folder / "results" / "config.yaml").exists() or first.poll() is not None:
                break
            time.sleep(0.1)
        second = snakemake(folder, "--configfile", name)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    said = second.stdout + second.stderr
    assert second.returncode != 0
    assert "cannot be locked" in said
    assert "--unlock" in said
    assert snakemake(folder, "--configfile", name, "--unlock").returncode == 0
    script.write_text(slow.replace("time.sleep", "(lambda seconds: None)"))
    assert snakemake(folder, "--configfile", name).returncode == 0

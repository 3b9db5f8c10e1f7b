"""The command line: fast help, one-line errors, exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from neuroalign import cli, stages
from neuroalign.errors import DataError
from neuroalign.planning import preflight
from neuroalign.settings import config, configfile
from neuroalign.stages import simulation, starting

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "nilearn", "nibabel", "matplotlib", "pandas", "xarray", "numpy", "pydantic")

COMMANDS = ["simulate", "check", "layers", "provenance", *cli.STAGES, "schema"]


def study(folder: Path, **sections: object) -> str:
    """A small study's config file."""
    raw = {
        "output": str(folder / "out"),
        "dataset": {"path": str(folder), "task": "story"},
        "networks": {"tiny": {"source": "folder"}},
        "responses": {"kind": "parcels"},
        **sections,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(raw))
    return str(path)


def test_help_answers_without_loading_anything_heavy() -> None:
    code = (
        "import sys\nfrom neuroalign.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == "[]"
    for command in COMMANDS:
        assert f"    {command}" in ran.stdout


def test_help_answers_in_under_half_a_second() -> None:
    def once() -> float:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "neuroalign", "--help"], cwd=ROOT, capture_output=True, check=True
        )
        return time.perf_counter() - start

    assert min(once() for _ in range(3)) < 0.5


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, neuroalign; print([name for name in {HEAVY} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_what_the_workflow_reads_first_is_light() -> None:
    heavy = tuple(name for name in HEAVY if name != "pydantic")
    code = (
        "import sys; from neuroalign.settings import config; from neuroalign.provenance import triggers\n"
        "from neuroalign.artefacts import layout; from neuroalign.stages import asked, places, starting\n"
        "[triggers.code_digest(stage) for stage in triggers.READS]\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command", [name for name in COMMANDS if name not in ("simulate", "schema", "provenance")]
)
def test_a_missing_config_is_one_line_and_status_2(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    needed = cli.STAGES.get(command, ("", ()))[1]
    options = [text for what in needed for text in (f"--{what}", "x")]
    assert cli.main([command, "nowhere.yaml", *options]) == 2
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        "neuroalign: error: nowhere.yaml: no such config file; see config/README.md for one to start from"
    ]


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(config.ConfigError):
        cli.main(["--debug", "index", "nowhere.yaml"])
    with pytest.raises(config.ConfigError):
        cli.main(["index", "nowhere.yaml", "--debug"])


def test_a_message_of_several_lines_becomes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: config.Study) -> None:
        raise DataError("this\n  and that")

    monkeypatch.setattr(stages, "index", fail)
    assert cli.main(["index", study(tmp_path)]) == 2
    assert capsys.readouterr().err == "neuroalign: error: this and that\n"


def test_an_interrupt_is_status_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: config.Study) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "maps", interrupt)
    assert cli.main(["maps", study(tmp_path)]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_the_log_holds_what_the_terminal_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "logs" / "index.log"
    assert cli.main(["index", "nowhere.yaml", "--log", str(log)]) == 2
    assert log.read_text() == capsys.readouterr().err


def test_a_mistake_in_the_program_leaves_its_traceback_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: config.Study) -> None:
        raise RuntimeError("not the user's fault")

    monkeypatch.setattr(stages, "maps", fail)
    log = tmp_path / "maps.log"
    with pytest.raises(RuntimeError):
        cli.main(["maps", study(tmp_path), "--log", str(log)])
    assert "not the user's fault" in log.read_text()
    assert sys.stderr.write is not None


@pytest.mark.parametrize(
    ("network", "encoder", "message"),
    [
        ("tinny", "ridge", "no network 'tinny': did you mean 'tiny'?"),
        ("tiny", "rigde", "no encoder 'rigde': did you mean 'ridge'?"),
    ],
)
def test_an_unknown_name_lists_the_choices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], network: str, encoder: str, message: str
) -> None:
    (tmp_path / "sub-01").mkdir()
    options = ["--subject", "01", "--network", network, "--encoder", encoder]
    assert cli.main(["fit", study(tmp_path), *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("ridge", "no encoder of several subjects 'ridge'"),
        ("cross_attention", "cross_attention.universal is false"),
    ],
)
def test_one_network_for_all_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], encoder: str, message: str
) -> None:
    path = study(tmp_path, encoders=["ridge", "cross_attention"])
    assert cli.main(["joint", path, "--network", "tiny", "--encoder", encoder]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_earlier_artefact_names_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["stimuli", study(tmp_path)]) == 2
    assert "index.parquet: no such file; run the stage that makes it first" in capsys.readouterr().err


def test_check_says_all_that_is_wrong_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = study(
        tmp_path,
        dataset={"path": str(tmp_path / "gone"), "task": "story"},
        networks={"one": {"source": str(tmp_path / "no_network")}},
    )
    assert cli.main(["check", path]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("neuroalign: error: ") for line in lines)
    assert any("dataset.path: no folder at" in line for line in lines)
    assert any("no_network" in line for line in lines)


def test_check_refuses_to_simulate_over_other_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "participants.tsv").write_text("participant_id\n")
    path = study(tmp_path, simulate={}, networks={"one": {"source": str(tmp_path / "no_network")}})
    assert cli.main(["check", path]) == 2
    assert "holds files that were not simulated" in capsys.readouterr().err


def test_the_schema_in_the_repository_is_current(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = ROOT / "workflow/schemas/config.schema.json"
    assert cli.main(["schema", "--check", str(kept)]) == 0
    assert cli.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == configfile.json_schema()
    stale = tmp_path / "old.json"
    stale.write_text("{}")
    assert cli.main(["schema", "--check", str(stale)]) == 2
    assert "is not the schema of this version" in capsys.readouterr().err


def test_what_is_simulated_without_a_config_is_the_demonstration() -> None:
    shipped = configfile.load(ROOT / "config/config.yaml")
    built_in = simulation.demonstration(shipped.dataset.path)
    assert built_in.simulate == shipped.simulate
    assert built_in.dataset == shipped.dataset
    assert built_in.networks == shipped.networks
    assert built_in.seed == shipped.seed


def test_the_resolved_config_is_written_only_where_it_changed(tmp_path: Path) -> None:
    (tmp_path / "sub-01").mkdir()
    loaded = configfile.load(study(tmp_path))
    path = starting.save_config(loaded)
    assert configfile.load(path) == loaded
    before = path.stat().st_mtime_ns
    assert starting.save_config(loaded) == path
    assert path.stat().st_mtime_ns == before
    starting.save_config(loaded.model_copy(update={"title": "another"}))
    assert configfile.load(path).title == "another"
    assert [found.name for found in path.parent.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["block.0"], None),
        (["block.9"], "cross_attention.layers: no network keeps 'block.9': did you mean 'block."),
        (["h.1"], "cross_attention.layers: network one keeps none of them: "),
    ],
)
def test_check_knows_the_layers_that_attention_looks_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layers: list[str], message: str | None
) -> None:
    known = {"one": ["block.0", "block.1"], "two": ["h.0", "h.1"] if message else ["block.0"]}
    monkeypatch.setattr(preflight, "_kept_layers", lambda network: known[network.source])
    path = study(
        tmp_path,
        networks={name: {"source": name} for name in known},
        encoders=["ridge", "cross_attention"],
        cross_attention={"layers": layers},
    )
    problems, _ = preflight.check(configfile.load(path))
    said = [problem for problem in problems if problem.startswith("cross_attention")]
    assert len(said) == (message is not None)
    assert message is None or said[0].startswith(message)


def test_the_layers_of_a_network_are_listed_without_a_study(capsys: pytest.CaptureFixture[str]) -> None:
    small = "package:neuroalign/recordings/simulated/small_vit"
    assert cli.main(["layers", small, "--family", "vision"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["network", "layer", "units", "tokens", "depth", "kept"]
    assert [line.split()[1] for line in lines[1:]] == ["embeddings", *(f"layers.{n}" for n in range(6))]
    assert cli.main(["layers", small, "--family", "visoin"]) == 2
    assert "did you mean 'vision'?" in capsys.readouterr().err

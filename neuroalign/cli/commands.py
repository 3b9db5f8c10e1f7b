"""What every command does: the study is read, one function of the package is called, the answer printed.

Nothing heavy is imported before a command runs, so that ``neuroalign --help`` answers at once.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from neuroalign.cli.messages import complain
from neuroalign.errors import NeuroalignError

if TYPE_CHECKING:
    from neuroalign.settings.config import Study


def stage(given: argparse.Namespace) -> None:
    """Run one stage of a study."""
    from neuroalign import stages

    made_for = {what: getattr(given, what) for what in given.needed}
    made = getattr(stages, given.command)(_study(given.config), **made_for)
    if given.command == "report":
        print(f"report: {made}\n        {made.as_uri()}")


def simulate(given: argparse.Namespace) -> None:
    """Make a study with a known truth."""
    from neuroalign import stages
    from neuroalign.stages import simulation

    if given.config is None:
        stages.simulate(simulation.demonstration(given.out))
    else:
        study = _study(given.config)
        stages.simulate(
            study.model_copy(update={"dataset": study.dataset.model_copy(update={"path": given.out})})
        )


def check(given: argparse.Namespace) -> int:
    """Say what would stop a study; exit status 2 where anything would."""
    from neuroalign.planning.preflight import check

    problems, found = check(_study(given.config), data=not given.to_be_simulated)
    for problem in problems:
        complain(problem)
    if not problems:
        print("\n  ".join(["all well", *found]))
    return 2 if problems else 0


def plan(given: argparse.Namespace) -> int:
    """Say what every job will need, or compare that with what it took."""
    from neuroalign.planning.measured import read_measured
    from neuroalign.planning.plan import plan
    from neuroalign.planning.printed import compared, printed
    from neuroalign.planning.table import plan_digest, plan_path, save_plan

    study = _study(given.config)
    needs = plan(study)
    if given.measured:
        found = read_measured(Path(study.output, "benchmarks"), {need.job: need for need in needs})
        print(compared(found))
        return 0 if found and all(one.good for one in found) else 1
    save_plan(needs, plan_digest(study, study.subjects()), plan_path(study))
    if not given.quiet:
        allowed = study.resources.memory_bytes
        print(printed(needs) if allowed is None else printed(needs, allowed / 2**20))
    return 0


def fetch(given: argparse.Namespace) -> None:
    """Download every network of a study."""
    from neuroalign.networks.fetching import fetch

    for name, folder in fetch(_study(given.config)).items():
        print(f"{name}: {folder}")


def layers(given: argparse.Namespace) -> None:
    """List the layers of a network or of those of a study."""
    from neuroalign.planning.preflight import layers
    from neuroalign.planning.printed import aligned

    rows = [("network", "layer", "units", "tokens", "depth", "kept")]
    of_study = Path(given.config).suffix.lower() in (".yaml", ".yml")
    study = _study(given.config) if of_study else _alone(given.config, given.family)
    for network, found in layers(study).items():
        for layer in found:
            units = "" if layer.units is None else str(layer.units)
            kept = "yes" if layer.kept else ""
            rows.append((network, layer.name, units, layer.tokens, f"{layer.depth:.3f}", kept))
    print(aligned(rows))


def _alone(model: str, family: str) -> Study:
    """A study of nothing but one network."""
    from neuroalign.settings.configfile import parse

    network = {"source": model, "family": family}
    nothing = {"dataset": {"path": ".", "task": "none"}, "responses": {"kind": "parcels"}}
    return parse({"networks": {"model": network}, **nothing}, name=model)


def schema(given: argparse.Namespace) -> None:
    """Print the JSON schema of the config, or compare a file with it."""
    from neuroalign.settings.configfile import json_schema

    text = json.dumps(json_schema(), indent=2) + "\n"
    if given.check is None:
        print(text, end="")
    elif not given.check.is_file() or given.check.read_text(encoding="utf-8") != text:
        raise NeuroalignError(
            f"{given.check} is not the schema of this version; write it with `neuroalign schema`"
        )


def provenance(given: argparse.Namespace) -> None:
    """Say by what an artefact was made."""
    from neuroalign.provenance.stamps import printed, read_stamp

    print(printed(read_stamp(given.file)))


def _study(config: str) -> Study:
    from neuroalign.settings.configfile import load

    return load(config)

"""The command line: one command per stage; wiring only.

Nothing heavy is imported before a command runs, so that ``neuroalign --help`` answers at once.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO, cast

from neuroalign import __version__
from neuroalign.atomic import refusal
from neuroalign.errors import NeuroalignError, UnwritableError

if TYPE_CHECKING:
    from neuroalign.config import Study

STAGES = {
    "index": ("list the files of the BIDS dataset, once for all stages", ()),
    "stimuli": ("read which words were presented when", ()),
    "activations": ("run a network over all words and keep its layers", ("network",)),
    "responses": ("read and clean the recordings of a subject", ("subject",)),
    "fit": ("fit and score every layer of a network for a subject", ("subject", "network", "encoder")),
    "joint": ("fit one network of an encoder for all subjects together", ("network", "encoder")),
    "ceiling": ("estimate how well any model could do", ()),
    "inference": ("test what is predicted better than chance", ("subject", "network", "encoder")),
    "summary": ("bring scores, controls, ceiling and inference together", ("subject", "network", "encoder")),
    "group": ("combine the subjects", ("network", "encoder")),
    "timing": ("find out when each layer predicts epochs", ("subject", "network", "encoder")),
    "timing_group": ("combine when layers predict the epochs of all subjects", ("network", "encoder")),
    "reconstruction": (
        "predict the features of a network from a subject's EEG or MEG",
        ("subject", "network"),
    ),
    "prompts": ("compare the prompts of a network for a subject", ("subject", "network")),
    "prompts_group": ("combine what subjects prefer among the prompts of a network", ("network",)),
    "maps": ("write GIFTI, NIfTI and TSV maps as BIDS derivatives", ()),
    "report": ("write the HTML report", ()),
}
"""Commands that run one stage: what it does, and what it is asked for beside the config."""

ABOUT = {
    "subject": "BIDS label without 'sub-', or 'average'",
    "network": "a name below 'networks' in the config, NAMEPrompt, NAMEuntrained, or 'nuisance'",
    "encoder": "a name from 'encoders' in the config",
}


LONGEST_LINE = 900
"""Characters of a message to the user."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        Exit status: 0; 2 for something the user can mend; 130 when interrupted, 143 when terminated.
    """
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        with _copied_to(given.log):
            logging.basicConfig(
                stream=sys.stderr, level=logging.WARNING, format="neuroalign: %(message)s", force=True
            )
            logging.getLogger("neuroalign").setLevel(logging.INFO)
            return _run(given, process=arguments is None)
    except (OSError, RuntimeError) as error:
        reason = refusal(error)
        if given.debug or reason is None:
            raise
        _complain(f"{getattr(error, 'filename', None) or 'a file'}: cannot be opened or written ({reason})")
        return 2


def _run(given: argparse.Namespace, process: bool) -> int:
    """Run a command, which may be all that this process is for; what the user can mend becomes one line."""
    try:
        return int(given.run(given) or 0)
    except NeuroalignError as error:
        if given.debug:
            raise
        _complain(str(error))
        if process and isinstance(error, UnwritableError):
            _leave(2)
        return 2
    except (OSError, MemoryError) as error:
        if given.debug:
            raise
        _complain(_of_the_machine(error))
        return 2
    except KeyboardInterrupt:
        print("neuroalign: interrupted", file=sys.stderr)
        return 130


def _terminated(number: int, frame: object) -> None:
    """End as after any error, so that nothing unfinished is left behind."""
    sys.exit(128 + number)


def _leave(status: int) -> None:
    """End without tidying up: HDF5 would try once more to write what it could not, and crash."""
    sys.stderr.flush()
    os._exit(status)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--log", type=Path, metavar="FILE", help="also write messages and errors to this file"
    )
    common.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )
    with_config = argparse.ArgumentParser(add_help=False, parents=[common])
    with_config.add_argument("config", metavar="CONFIG", help="YAML file, see config/README.md")

    parser: argparse.ArgumentParser = _Parser(
        prog="neuroalign", description="Which layer of which network predicts each place in the brain."
    )
    parser.add_argument("--version", action="version", version=f"neuroalign {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(
        name: str,
        run: Callable[[argparse.Namespace], int | None],
        about: str,
        parent: argparse.ArgumentParser,
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=about, description=f"{about[0].upper()}{about[1:]}.", parents=[parent]
        )
        command.set_defaults(run=run, command=name)
        return command

    simulate = add("simulate", _simulate, "make a study with a known truth, as a BIDS dataset", common)
    simulate.add_argument("out", metavar="OUT", help="folder of the new dataset")
    simulate.add_argument(
        "--config", metavar="CONFIG", help="settings; those of the demonstration when left out"
    )
    check = add("check", _check, "say everything that is wrong with a config and its data", with_config)
    check.add_argument(
        "--to-be-simulated", action="store_true", help="do not look at data that were simulated before"
    )
    add("fetch", _fetch, "download every network of a config, for machines without internet", with_config)
    about = "list the layers of a network, or of those in a config, their units and depths"
    listing = add("layers", _layers, about, common)
    listing.add_argument(
        "config", metavar="CONFIG|MODEL", help="YAML file, or what is said as `source` in one"
    )
    listing.add_argument(
        "--family", default="text", help="of MODEL: text, vision, audio, video or multimodal"
    )
    plan = add("plan", _plan, "say what memory, time and disk every job will need", with_config)
    plan.add_argument("--quiet", action="store_true", help="only write the plan into the output folder")
    plan.add_argument(
        "--measured",
        action="store_true",
        help="beside what a finished run took; exit status 1 where it is off",
    )
    provenance = add("provenance", _provenance, "say by what an artefact was made", common)
    provenance.add_argument("file", metavar="FILE", help="netCDF, Parquet, Zarr, or a map")
    for name, (about, needed) in STAGES.items():
        command = add(name, _stage, about, with_config)
        for what in needed:
            command.add_argument(f"--{what}", required=True, help=ABOUT[what])
    schema = add("schema", _schema, "print the JSON schema of the config", common)
    schema.add_argument("--check", type=Path, metavar="FILE", help="only compare with this file")
    return parser


def _stage(given: argparse.Namespace) -> None:
    from neuroalign import stages

    _, needed = STAGES[given.command]
    made = getattr(stages, given.command)(
        _study(given.config), **{what: getattr(given, what) for what in needed}
    )
    if given.command == "report":
        print(f"report: {made}\n        {made.as_uri()}")


def _simulate(given: argparse.Namespace) -> None:
    from neuroalign import stages
    from neuroalign.stages import simulation

    if given.config is None:
        stages.simulate(simulation.demonstration(given.out))
    else:
        study = _study(given.config)
        stages.simulate(
            study.model_copy(update={"dataset": study.dataset.model_copy(update={"path": given.out})})
        )


def _check(given: argparse.Namespace) -> int:
    from neuroalign.preflight import check

    problems, found = check(_study(given.config), data=not given.to_be_simulated)
    for problem in problems:
        _complain(problem)
    if not problems:
        print("\n  ".join(["all well", *found]))
    return 2 if problems else 0


def _plan(given: argparse.Namespace) -> int:
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
        print(printed(needs))
    return 0


def _fetch(given: argparse.Namespace) -> None:
    from neuroalign.networks.fetching import fetch

    for name, folder in fetch(_study(given.config)).items():
        print(f"{name}: {folder}")


def _layers(given: argparse.Namespace) -> None:
    from neuroalign.planning.printed import aligned
    from neuroalign.preflight import layers

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
    from neuroalign.configfile import parse

    network = {"source": model, "family": family}
    nothing = {"dataset": {"path": ".", "task": "none"}, "responses": {"kind": "parcels"}}
    return parse({"networks": {"model": network}, **nothing}, name=model)


def _schema(given: argparse.Namespace) -> None:
    from neuroalign.configfile import json_schema

    text = json.dumps(json_schema(), indent=2) + "\n"
    if given.check is None:
        print(text, end="")
    elif not given.check.is_file() or given.check.read_text(encoding="utf-8") != text:
        raise NeuroalignError(
            f"{given.check} is not the schema of this version; write it with `neuroalign schema`"
        )


def _provenance(given: argparse.Namespace) -> None:
    from neuroalign.stamps import printed, read_stamp

    print(printed(read_stamp(given.file)))


def _study(config: str) -> Study:
    from neuroalign.configfile import load

    return load(config)


def _complain(message: str) -> None:
    """One line to the user, whatever the message was broken into or quotes.

    Characters that a terminal would obey are written out; of a long message the middle is left out, since
    it begins with the place and ends with what to do.
    """
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(message.split()))
    if len(line) > LONGEST_LINE:
        line = f"{line[: LONGEST_LINE // 2]} … {line[-LONGEST_LINE // 3 :]}"
    print(f"neuroalign: error: {line}", file=sys.stderr)


def _of_the_machine(error: OSError | MemoryError) -> str:
    """Say what a disk or a memory could not do."""
    if isinstance(error, MemoryError):
        return f"not enough memory ({error or 'no more is said'}); give the job more, or a smaller part"
    place = f"{error.filename}: " if error.filename is not None else ""
    return (
        f"{place}{error.strerror or error or type(error).__name__}; is a folder where one should be, "
        "may it be written to, and is there space left? Make it so, or change output in the config"
    )


class _Parser(argparse.ArgumentParser):
    """One line for a mistake on the command line, too."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and which help to read."""
        _complain(f"{message}; see `{self.prog} --help`")
        sys.exit(2)


class _Both(io.TextIOBase):
    """A text stream that writes to two."""

    def __init__(self, first: TextIO, second: TextIO) -> None:
        self.first, self.second = first, second

    def write(self, text: str) -> int:
        self.second.write(text)
        return self.first.write(text)

    def flush(self) -> None:
        self.first.flush()
        self.second.flush()

    def isatty(self) -> bool:
        return self.first.isatty()

    def fileno(self) -> int:
        return self.first.fileno()


@contextmanager
def _copied_to(log: Path | None) -> Iterator[None]:
    """Let whatever is written to stderr, tracebacks too, also reach the file `log`."""
    if log is None:
        yield
        return
    import traceback

    log.parent.mkdir(parents=True, exist_ok=True)
    terminal = sys.stderr
    with log.open("w", encoding="utf-8") as file:
        sys.stderr = cast(TextIO, _Both(terminal, file))
        try:
            yield
        except Exception:
            file.write(traceback.format_exc())
            raise
        finally:
            sys.stderr = terminal

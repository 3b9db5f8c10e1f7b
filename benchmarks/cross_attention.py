"""Does cross-attention predict better than its peers, from how few images, and how fast does it learn?

    python benchmarks/cross_attention.py accuracy     three simulated cortices of two kinds: hours on one core
    python benchmarks/cross_attention.py few          a new person with few images: half an hour
    python benchmarks/cross_attention.py speed        one training step beside the peer's: ten minutes
    python benchmarks/cross_attention.py speed --device cuda

Prints Markdown tables, line by line; --quick makes all of it small, to show that it runs. README.md says what
the columns mean.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from cortex import CORTEX, REGIMES, Cortex, Layers, Person, Regime, simulate
from measure import Memory, apart

ALPHAS = tuple(np.geomspace(1e-1, 1e7, 17))
WELL_PREDICTED = 0.7
"""r with the noise-free response from which on a voxel is asked where it looks."""

FEW = (25, 50, 100, 400)
WANTED_FEW = {25: 0.15, 50: 0.08, 100: 0.04}
WANTED_FASTER = {"each target asks": 3, "prototypes": 10}


@dataclass(frozen=True)
class Fitted:
    """An encoder of several people.

    `centres` (target, 2) and `layers` (target,) say where a person's voxels look, if the encoder can tell.
    """

    predict: Callable[[str, Layers], np.ndarray]
    centres: Callable[[str, np.ndarray], np.ndarray] | None = None
    layers: Callable[[str], np.ndarray] | None = None


Fit = Callable[[Cortex, int, int, bool], Fitted]


def ridge(cortex: Cortex, seed: int, threads: int, quick: bool, pool: str = "flatten") -> Fitted:
    """Ridge regression, α per target by cross-validation, on all tokens or on their mean."""
    from neuroalign.encoders import RidgeEncoder, Tokens

    def features(tokens: Layers) -> np.ndarray:
        return Tokens(tokens).features(pool)

    fitted = {
        name: RidgeEncoder(ALPHAS, threads=threads).fit(features(person.tokens), person.responses)
        for name, person in cortex.people.items()
    }
    return Fitted(lambda name, tokens: fitted[name].predict(features(tokens)))


def universal(cortex: Cortex, seed: int, threads: int, quick: bool, **parameters: Any) -> Fitted:
    """The Universal Brain Encoder."""
    import torch
    import universal_brain_encoder as peer

    torch.set_num_threads(threads)
    short: dict[str, Any] = {"epochs": 1} if quick else {}
    encoder = peer.UniversalBrainEncoder(seed, **short, **parameters)
    encoder.fit({name: (person.tokens, person.responses) for name, person in cortex.people.items()})
    return Fitted(lambda name, tokens: encoder.predict(tokens, name))


def attention(cortex: Cortex, seed: int, threads: int, quick: bool, **parameters: Any) -> Fitted:
    """CrossAttentionEncoder as it comes."""
    encoder = _ours(seed, threads, quick, **parameters).fit(_people(cortex))

    def importance(name: str) -> np.ndarray:
        return encoder.layer_importance(_tokens(cortex, cortex.test), cortex.people[name].clean, name)

    def centres(name: str, layer: np.ndarray) -> np.ndarray:
        fields = np.stack(list(encoder.fields(name).values()))
        return fields[layer, np.arange(len(layer))] @ cortex.places

    return Fitted(
        lambda name, tokens: encoder.predict(_tokens(cortex, tokens), name),
        centres,
        lambda name: importance(name).argmax(0),
    )


def stack(cortex: Cortex, seed: int, threads: int, quick: bool) -> Fitted:
    """StackedEncoder as it comes, of the same two."""
    from neuroalign.encoders import RidgeEncoder, StackedEncoder

    encoder = StackedEncoder(_ours(seed, threads, quick), RidgeEncoder(ALPHAS, threads=threads))
    encoder.fit(_people(cortex))
    return Fitted(lambda name, tokens: encoder.predict(_tokens(cortex, tokens), name))


def ridge_pooled(*given: Any) -> Fitted:
    return ridge(*given, pool="mean")


def universal_slower(*given: Any) -> Fitted:
    return universal(*given, rate=3e-4)


def attention_bfloat16(*given: Any) -> Fitted:
    return attention(*given, precision="bfloat16")


def prototypes(*given: Any) -> Fitted:
    return attention(*given, queries="prototype")


def prototypes_bfloat16(*given: Any) -> Fitted:
    return attention(*given, queries="prototype", precision="bfloat16")


ENCODERS: dict[str, Fit] = {
    "ridge, all tokens": ridge,
    "ridge, mean token": ridge_pooled,
    "UBE": universal,
    "UBE, rate 3e-4": universal_slower,
    "cross-attention": attention,
    "the same, bfloat16": attention_bfloat16,
    "prototypes": prototypes,
    "prototypes, bfloat16": prototypes_bfloat16,
    "stack": stack,
}


def _ours(seed: int, threads: int, quick: bool, **parameters: Any) -> Any:
    from neuroalign.encoders import CrossAttentionEncoder

    steps: dict[str, Any] = {"steps": 20} if quick else {}
    return CrossAttentionEncoder(seed=seed, threads=threads, **steps, **parameters)


def _tokens(cortex: Cortex, layers: Layers) -> Any:
    from neuroalign.encoders import Tokens

    return Tokens(layers, positions=cortex.places)


def _people(cortex: Cortex) -> dict[str, tuple[Any, np.ndarray]]:
    return {
        name: (_tokens(cortex, person.tokens), person.responses) for name, person in cortex.people.items()
    }


@dataclass(frozen=True)
class Judged:
    """r with the noise-free responses (mean over all voxels), and what was recovered of the truth.

    Correlations of receptive-field centres, of sizes of layers' numbers, and the share of voxels whose
    preferred layer is the planted one; over voxels predicted well. NaN where an encoder cannot tell.
    """

    r: float
    centres: float
    layers: float
    right: float
    seconds: float


def judged(encoder: str, regime: Regime, seed: int, threads: int, quick: bool) -> Judged:
    """Fit and judge one encoder."""
    from neuroalign.metrics import pearson

    warnings.simplefilter("ignore")
    cortex = simulate(regime, seed)
    start = time.perf_counter()
    fitted = ENCODERS[encoder](cortex, seed, threads, quick)
    seconds = time.perf_counter() - start
    r = {name: pearson(fitted.predict(name, cortex.test), each.clean) for name, each in cortex.people.items()}
    mean = float(np.mean(np.concatenate(list(r.values()))))
    if fitted.layers is None or fitted.centres is None:
        return Judged(mean, np.nan, np.nan, np.nan, seconds)
    found, true = [], []
    for name, person in cortex.people.items():
        well = r[name] > (0 if quick else WELL_PREDICTED)
        layer = fitted.layers(name)
        found.append(np.column_stack([fitted.centres(name, layer), layer])[well])
        true.append(np.column_stack([person.centres, person.preferred])[well])
    recovered, planted = np.concatenate(found), np.concatenate(true)
    x, y, layers = pearson(recovered, planted)
    right = float((recovered[:, 2] == planted[:, 2]).mean())
    return Judged(mean, float(x + y) / 2, float(layers), right, seconds)


def accuracy(arguments: argparse.Namespace) -> None:
    """Every encoder on every cortex; then means over seeds, beside the better ridge and UBE."""
    _head("cortex", "seed", "encoder", "r", "centres", "layers", "right layer", "s")
    for regime in (REGIMES[name] for name in arguments.regimes):
        regime = _quick(regime) if arguments.quick else regime
        r: dict[str, list[float]] = {}
        for seed in arguments.seeds:
            for encoder in arguments.encoders or ENCODERS:
                given = (encoder, regime, seed, arguments.threads, arguments.quick)
                result: Judged = apart(arguments.threads, judged, *given)
                r.setdefault(encoder, []).append(result.r)
                told = (result.centres, result.layers, result.right)
                _line(
                    regime.name,
                    seed,
                    encoder,
                    f"{result.r:.3f}",
                    *map(_or_dash, told),
                    f"{result.seconds:.0f}",
                )
        better = np.max([r[name] for name in r if name.startswith("ridge")], axis=0, initial=-1)
        for encoder, each in r.items():
            beside = {"ridge": better if better.max() > -1 else np.nan, "UBE": np.array(r.get("UBE", np.nan))}
            gains = ", ".join(
                f"{np.mean(np.subtract(each, other)):+.3f} on {name}" for name, other in beside.items()
            )
            _line(regime.name, "mean", encoder, f"{np.mean(each):.3f}", gains, "", "", "")


def few(arguments: argparse.Namespace) -> None:
    """A fourth person whom the network was not trained on."""
    regime = (_quick(CORTEX) if arguments.quick else CORTEX).people(CORTEX.subjects + 1)
    counts = [n for n in FEW if n <= regime.items]
    peer = not arguments.encoders or "UBE" in arguments.encoders
    names = ("ridge", "random embeddings", *(["UBE"] if peer else []), "ours")
    _head("seed", "images", *names, "ours − ridge", "wanted")
    gains: dict[int, list[float]] = {n: [] for n in counts}
    for seed in arguments.seeds:
        given = (regime, seed, arguments.threads, arguments.quick, counts, peer)
        for n, r in apart(arguments.threads, adapted, *given).items():
            gains[n].append(r["ours"] - r["ridge"])
            _line(
                seed, n, *(_or_dash(r[name]) for name in names), f"{gains[n][-1]:+.3f}", WANTED_FEW.get(n, "")
            )
    for n, each in gains.items():
        _line("mean", n, *[""] * len(names), f"{np.mean(each):+.3f}", WANTED_FEW.get(n, ""))


def adapted(
    regime: Regime, seed: int, threads: int, quick: bool, counts: Sequence[int], with_peer: bool
) -> dict[int, dict[str, float]]:
    """r of the last person by number of images and encoder; the others teach the networks."""
    import torch
    import universal_brain_encoder as peer

    from neuroalign.metrics import pearson

    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    cortex = simulate(regime, seed)
    *known, new = cortex.people
    base = replace(cortex, people={name: cortex.people[name] for name in known})
    ours = _ours(seed, threads, quick).fit(_people(base))
    short: dict[str, Any] = {"epochs": 1} if quick else {}
    theirs = peer.UniversalBrainEncoder(seed, **short)
    if with_peer:
        theirs.fit({name: (person.tokens, person.responses) for name, person in base.people.items()})
    found: dict[int, dict[str, float]] = {}
    for n in counts:
        person = cortex.people[new].first(n)
        alone = replace(cortex, people={new: person})
        ours.add_subject(f"{new}, {n} images", _tokens(cortex, person.tokens), person.responses)
        predictions = {
            "random embeddings": _from_random(ours, cortex, person, seed),
            "ours": ours.predict(_tokens(cortex, cortex.test), f"{new}, {n} images"),
        }
        if with_peer:
            theirs.add(f"{new}, {n} images", person.tokens, person.responses)
            predictions["UBE"] = theirs.predict(cortex.test, f"{new}, {n} images")
        both = [
            ridge(alone, seed, threads, quick, pool).predict(new, cortex.test) for pool in ("flatten", "mean")
        ]
        found[n] = {name: float(np.mean(pearson(each, person.clean))) for name, each in predictions.items()}
        found[n]["ridge"] = max(float(np.mean(np.nan_to_num(pearson(each, person.clean)))) for each in both)
    return found


def _from_random(encoder: Any, cortex: Cortex, person: Person, seed: int) -> np.ndarray:
    """Our network, frozen, with embeddings learned by Adam from a random start; early stopping on a fifth."""
    import torch

    from neuroalign.encoders.attention.training import Place

    network, place = encoder._network, Place(torch.device("cpu"), "float32")
    mean, deviation = person.responses.mean(0), person.responses.std(0)
    wanted = torch.from_numpy((person.responses - mean) / deviation)
    held = torch.arange(len(wanted)) >= 0.8 * len(wanted)

    def seen(layers: Layers) -> Any:
        shown = _tokens(cortex, layers)
        return network.shared(place.batch(network, shown, np.arange(len(shown))))

    with torch.no_grad():
        known, fresh = seen(person.tokens), seen(cortex.test)
    torch.manual_seed(seed)
    embeddings = (0.03 * torch.randn(wanted.shape[1], encoder.embedding)).requires_grad_()
    optimiser = torch.optim.Adam([embeddings], 1e-2)
    best, least = embeddings.detach().clone(), float("inf")
    for _ in range(150):
        optimiser.zero_grad()
        error = (network.predict(embeddings, known) - wanted).square()
        if (lost := float(error[held].mean())) < least:
            best, least = embeddings.detach().clone(), lost
        error[~held].mean().backward()
        optimiser.step()
    with torch.no_grad():
        return network.predict(best, fresh).numpy() * deviation + mean


@dataclass(frozen=True)
class Load:
    """What a training step is given: a recording, and how much of it per step."""

    targets: int = 20_000
    per_step: int = 5000
    tokens: int = 257
    layers: int = 4
    units: int = 768
    batch: int = 32
    device: str | None = None

    def __str__(self) -> str:
        return f"{self.layers} × {self.tokens} × {self.units} tokens, {self.targets} targets"


@dataclass(frozen=True)
class Step:
    """Seconds of a training step, the memory that it needs over what was held before, shares of its parts."""

    seconds: float
    extra_mb: float
    parts: Mapping[str, float]


def our_step(load: Load, precision: str, queries: str, repeats: int) -> Step:
    """CrossAttentionEncoder's step as `fit` takes it, tokens read and all."""
    import torch

    from neuroalign.encoders.attention import training
    from neuroalign.encoders.attention.network import Network
    from neuroalign.encoders.attention.optimiser import Flat, RowAdam
    from neuroalign.encoders.attention.people import Person
    from neuroalign.encoders.attention.schedule import Schedule
    from neuroalign.encoders.attention.tokens import Tokens

    layers, responses = _recording(load)
    encoder = _ours(0, 1, False, queries=queries)
    shown = Tokens(layers, positions=np.random.default_rng(0).random((load.tokens, 2)))
    place = training.Place(torch.device(load.device or "cpu"), precision)
    torch.manual_seed(0)
    network = Network(encoder._sizes({"": (shown, responses)}), encoder.dropout).to(place.device)
    embeddings = 0.03 * torch.randn(load.targets, encoder.embedding, device=place.device)
    offset = torch.zeros(load.targets, device=place.device)
    person = Person(shown, responses, np.arange(len(responses)), np.arange(1), embeddings, offset)
    person.optimiser = RowAdam({"embeddings": embeddings, "offset": offset}, 0.3)
    small, free = (Flat(each) for each in network.decaying())
    weights = RowAdam({"small": small.values[None], "free": free.values}, 1.0)
    schedule = Schedule(1000, load.batch, load.per_step, 2e-3, 1.0, 0.3, 0)

    def step(number: int) -> None:
        draws = np.random.default_rng([0, number])
        rows = draws.choice(len(responses), load.batch, replace=False)
        training._step(network, person, rows, schedule, place, 1e-3, draws)
        weights.step({"small": small.gradients[None], "free": free.gradients}, 1e-3)

    seconds, extra = _timed(step, load, repeats)
    return Step(seconds, extra, _parts(network, person, load, place, seconds))


def _parts(network: Any, person: Any, load: Load, place: Any, whole: float) -> dict[str, float]:
    """Share of a step that its parts take by themselves; MLP, readout and loss are what is left."""
    import torch

    from neuroalign.encoders.attention import training
    from neuroalign.encoders.attention.network import Attend
    from neuroalign.encoders.attention.optimiser import RowAdam

    rows = np.arange(load.batch)
    n = min(load.per_step, load.targets)
    voxels = not network.sizes.prototypes

    def keys(_: int) -> list[Any]:
        batch = place.batch(network, person.tokens, rows)
        with place.cast():
            found = [layer.keys(*each) for layer, each in zip(network.layers, batch, strict=True)]
        torch.autograd.backward([each.tokens for each in found], [each.tokens.detach() for each in found])
        return found

    seen = [replace(each, tokens=each.tokens.detach().requires_grad_()) for each in keys(0)]
    size = training.chunk_of(network, seen) if voxels else network.sizes.prototypes
    asking = person.embeddings[:n] if voxels else network.prototypes.detach()

    def attended(_: int) -> None:
        for layer, each in zip(network.layers, seen, strict=True):
            queries = layer.ask(asking).detach().requires_grad_()
            tokens = each.tokens
            if place.precision == "bfloat16":
                queries, tokens = queries.bfloat16(), tokens.bfloat16()
            for start in range(0, len(queries), size):
                found = Attend.apply(queries[start : start + size], tokens, network.layers[0].width, None)
                found.backward(found.detach())

    optimiser = RowAdam({"embeddings": person.embeddings.clone()}, 0.3)
    gradients = {"embeddings": torch.randn_like(person.embeddings[:n])}
    some = torch.arange(n, device=place.device)
    parts = {
        "reading and keys": _timed(lambda number: keys(number), load, 2)[0] / whole,
        "scores and softmax": _timed(attended, load, 2)[0] / whole,
        "optimiser": _timed(lambda _: optimiser.step(gradients, 1e-3, some), load, 2)[0] / whole,
    }
    return parts | {"MLP and readout" if voxels else "MLP, mixing and readout": 1 - sum(parts.values())}


def their_step(load: Load, precision: str, shared: bool, repeats: int) -> Step:
    """The Universal Brain Encoder's; `shared`: one draw of voxels for all images, cheaper than its recipe."""
    import torch
    import universal_brain_encoder as peer

    layers, responses = _recording(load)
    device = torch.device(load.device or "cpu")
    torch.manual_seed(0)
    network = peer.Network([load.units] * load.layers, load.tokens, load.targets).to(device)
    optimiser = torch.optim.Adam(network.parameters(), peer.RATE, amsgrad=True)
    size = (load.per_step,) if shared else (load.batch, load.per_step)

    def step(number: int) -> None:
        draws = np.random.default_rng([0, number])
        rows = draws.choice(len(responses), load.batch, replace=False)
        voxels = draws.integers(0, load.targets, size)
        wanted = np.take_along_axis(responses[rows], np.broadcast_to(voxels, (load.batch, load.per_step)), 1)
        tokens = [torch.from_numpy(each[rows]).to(device) for each in layers.values()]
        optimiser.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            found = network(tokens, torch.from_numpy(voxels).to(device))
        peer.loss_of(found.float(), torch.from_numpy(wanted).to(device)).backward()
        optimiser.step()

    return Step(*_timed(step, load, repeats), {})


def _recording(load: Load) -> tuple[Layers, np.ndarray]:
    draws = np.random.default_rng(0)
    shape = (2 * load.batch, load.tokens, load.units)
    layers = {f"layer.{n}": draws.standard_normal(shape, dtype=np.float32) for n in range(load.layers)}
    return layers, draws.standard_normal((2 * load.batch, load.targets), dtype=np.float32)


def _timed(step: Callable[[int], Any], load: Load, repeats: int) -> tuple[float, float]:
    """Median seconds and peak of memory of some steps, after one that warms up."""
    import torch

    def waited(number: int) -> float:
        start = time.perf_counter()
        step(number)
        if load.device:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    memory = Memory(load.device)
    waited(0)
    seconds = [waited(number) for number in range(1, repeats + 1)]
    return statistics.median(seconds), memory.extra_mb()


def speed(arguments: argparse.Namespace) -> None:
    """Ours, peer, ours, peer: whatever else the machine does falls on both."""
    load = Load(device=arguments.device, per_step=arguments.per_step)
    if arguments.quick:
        load = replace(load, targets=400, per_step=200, tokens=37, units=64, layers=2)
    print(f"{load}; {load.batch} items × {load.per_step} targets a step, {arguments.threads} threads\n")
    _head(
        "ours", "precision", "ours s", "peer s", "ours items × targets / s", "peer", "faster ×",
        "as published ×", "wanted ×", "ours MB", "peer MB", "our parts",
    )  # fmt: skip
    for precision in ("float32", "bfloat16"):
        rounds = [_round(load, precision, arguments.threads) for _ in range(arguments.pairs)]
        for title, wanted in WANTED_FASTER.items():
            _speed_line(title, precision, wanted, load, rounds)


def _round(load: Load, precision: str, threads: int) -> dict[str, Step]:
    """Every side once, each in a process of its own."""
    return {
        "each target asks": apart(threads, our_step, load, precision, "voxel", 3),
        "peer": apart(threads, their_step, load, precision, True, 2),
        "prototypes": apart(threads, our_step, load, precision, "prototype", 3),
        "as published": apart(threads, their_step, load, precision, False, 2),
    }


def _speed_line(
    title: str, precision: str, wanted: int, load: Load, rounds: Sequence[Mapping[str, Step]]
) -> None:
    work = load.batch * load.per_step
    mine, theirs = (statistics.median(each[side].seconds for each in rounds) for side in (title, "peer"))
    faster, published = (
        statistics.median(each[side].seconds / each[title].seconds for each in rounds)
        for side in ("peer", "as published")
    )
    memory = (max(each[side].extra_mb for each in rounds) for side in (title, "peer"))
    shares = ", ".join(f"{name} {share:.0%}" for name, share in rounds[0][title].parts.items())
    _line(
        title, precision, f"{mine:.2f}", f"{theirs:.2f}", f"{work / mine:,.0f}", f"{work / theirs:,.0f}",
        f"{faster:.1f}", f"{published:.1f}", wanted, *(f"{each:.0f}" for each in memory), shares,
    )  # fmt: skip


def _quick(regime: Regime) -> Regime:
    return replace(regime, targets=12, items=60, shared=20, units=8)


def _head(*names: str) -> None:
    _line(*names)
    print("|" + "---|" * len(names), flush=True)


def _line(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def _or_dash(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


PARTS = {"accuracy": accuracy, "few": few, "speed": speed}


def main() -> int:
    """Run one part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--regimes", nargs="+", choices=REGIMES, default=list(REGIMES))
    parser.add_argument(
        "--encoders", nargs="+", choices=ENCODERS, help="all if none is named; few: UBE or not"
    )
    parser.add_argument("--device", help="cuda, for speed")
    parser.add_argument("--per-step", type=int, default=5000, help="targets per step, for speed")
    parser.add_argument("--pairs", type=int, default=2, help="rounds of runs, for speed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="far smaller problems")
    arguments = parser.parse_args()
    print(f"Load of the machine before: {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores\n")
    PARTS[arguments.part](arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())

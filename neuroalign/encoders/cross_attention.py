"""Cross-attention from voxels to tokens: one network for all targets of all people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from neuroalign.artefacts.arrays import save_json
from neuroalign.artefacts.atomic import replacing
from neuroalign.encoders import store
from neuroalign.encoders.attention.adaptation import Known, adapt
from neuroalign.encoders.attention.beside import Beside
from neuroalign.encoders.attention.mixture import Mixture
from neuroalign.encoders.attention.network import Network, Sizes
from neuroalign.encoders.attention.people import (
    Person,
    checked_responses,
    people_of,
    scale_of,
    split,
    standardise,
)
from neuroalign.encoders.attention.schedule import Schedule
from neuroalign.encoders.attention.tokens import Pool, Tokens, as_tokens
from neuroalign.encoders.attention.training import Place, parts_of, predicted, train
from neuroalign.encoders.blend import blend
from neuroalign.encoders.ridge import RidgeEncoder
from neuroalign.encoders.scores import scored
from neuroalign.encoders.solvers.arguments import Metric
from neuroalign.encoders.solvers.compute import Compute, host
from neuroalign.encoders.solvers.rows import check_folds
from neuroalign.encoders.solvers.targets import Targets
from neuroalign.errors import DataError, choices
from neuroalign.metrics import pearson

EPOCHS, STEPS = 30, (1500, 30_000)
"""How often every sample is seen, and how many steps at least and at most."""

SAMPLES_PER_BATCH, BATCHES = 90, (10, 64)
"""One sample more in a batch for so many in all, from the first number to the second."""

EMBEDDING_SCALE = {"voxel": 0.03, "prototype": 0.3}
"""Spread of embeddings before training; those that mix prototypes have to differ to begin with."""

DECAY, EMBEDDING_DECAY = 1.0, 0.3

SMALL = 2**16
"""Targets times tokens of a layer, below which one thread is enough."""

RIDGE_ALPHAS = tuple(10.0**exponent for exponent in range(-1, 8))

FLAT_FEATURES = 20_000
"""Beside the network, ridge regression sees the tokens one by one up to so many features, else their mean."""


class CrossAttentionEncoder(BaseEstimator):
    """One network for all voxels of all people, whose embeddings ask and whose stimulus' tokens answer.

    Every target has an embedding of its own; it attends to the tokens of every layer, by what they say and
    where they are, and reads out what it is answered (after Beliy et al. 2024, "The Wisdom of a Crowd of
    Brains: A Universal Brain Encoder"). Everything but embeddings is shared by all targets and subjects.
    Learned by AdamW with one rise and fall of the rate, on the squared error of standardised responses, and
    stopped early by the mean r of samples held out.

    Defaults were chosen on simulated visual cortices (three subjects, 150 targets and 300 images each, 6 × 6
    tokens, three layers): strong weight decay and small first embeddings decide, all else hardly matters.
    There, r with the responses less their noise was .869 (queries by voxel) and .870 (by prototype; mean of
    three seeds), the same in bfloat16; ridge on all tokens reached .63.

    Parameters
    ----------
    queries : {"voxel", "prototype"}
        Every target asks for itself, or mixes what `n_prototypes` queries that all share are answered: many
        times faster with thousands of targets, slower with a few hundred.
    n_prototypes : int
    width, embedding : int
        Dimensions of tokens in the network, and of a target's embedding.
    dropout : float
        Share of hidden units dropped in training.
    steps, batch : int, optional
        Training steps, and samples of each; by default about 30 passes over all samples in 1,500 to 30,000
        steps of 10 to 64 samples.
    targets_per_step : int
        Drawn at random where there are more; bounds the memory of a step.
    learning_rate : float
        Highest rate of the shared weights; embeddings learn five times as fast.
    validation : float
        Share of the samples that is held out for early stopping, the last of every subject. Give `fit` your
        own choice where neighbours resemble each other.
    precision : {"float32", "bfloat16"}
        Of attention in training; on hardware that is fast at it the second takes about half the time.
    device : str, optional
        "cpu", "cuda", "cuda:1"; the CPU by default.
    threads : int, optional
        CPU threads; by default all, but one where there are few targets and tokens.
    seed : int
        The same seed on the same machine with as many threads gives the same result.

    Attributes
    ----------
    subjects_, layers_ : list of str
    embeddings_ : dict of arrays (n_targets, embedding)
        By subject.
    validation_r_ : dict of arrays (n_targets,)
        Pearson r in the samples held out for early stopping.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> images = {"layer.3": rng.standard_normal((80, 9, 8), dtype=np.float32)}
    >>> responses = images["layer.3"][:, 4, :2] + 0.1 * rng.standard_normal((80, 2))
    >>> encoder = CrossAttentionEncoder(steps=50, threads=1).fit(images, responses)
    >>> encoder.predict(images).shape, encoder.embeddings_[""].shape
    ((80, 2), (2, 64))
    """

    def __init__(
        self,
        queries: Literal["voxel", "prototype"] = "voxel",
        n_prototypes: int = 128,
        width: int = 32,
        embedding: int = 64,
        dropout: float = 0.1,
        steps: int | None = None,
        batch: int | None = None,
        targets_per_step: int = 5000,
        learning_rate: float = 2e-3,
        validation: float = 0.15,
        precision: Literal["float32", "bfloat16"] = "float32",
        device: str | None = None,
        threads: int | None = None,
        seed: int = 0,
    ) -> None:
        self.queries = queries
        self.n_prototypes = n_prototypes
        self.width = width
        self.embedding = embedding
        self.dropout = dropout
        self.steps = steps
        self.batch = batch
        self.targets_per_step = targets_per_step
        self.learning_rate = learning_rate
        self.validation = validation
        self.precision = precision
        self.device = device
        self.threads = threads
        self.seed = seed

    def fit(
        self, tokens: Any, Y: Any = None, validation: Any = None, checkpoint: str | Path | None = None
    ) -> CrossAttentionEncoder:
        """Learn the network and the embeddings.

        Parameters
        ----------
        tokens : Tokens, mapping of layer to array (n_samples, n_tokens, n_units), or mapping of subjects
            Of one subject, with its responses as Y; or subject → (tokens, Y), where samples, targets and
            numbers of tokens may differ, but not layers and their units.
        Y : array (n_samples, n_targets) or (n_samples,)
            Responses of one subject.
        validation : int array, or mapping of subjects to such, optional
            Samples held out for early stopping.
        checkpoint : path, optional
            Folder for the state of training: what was killed goes on where it was, to the same result, and
            what was done is done at once. Yours to remove.

        Returns
        -------
        CrossAttentionEncoder
            Itself.

        Raises
        ------
        DataError
            Samples do not match, subjects have other layers than others, tokens or responses are not finite,
            or the checkpoint is of another network or other data.
        """
        self._check()
        given = people_of(tokens, Y)
        first = next(iter(given.values()))[0]
        for name, (shown, _) in given.items():
            if shown.units != first.units:
                raise DataError(
                    f"subject '{name}' has layers {shown.units}; expected {first.units} as the first"
                )
        held = validation if isinstance(validation, Mapping) else dict.fromkeys(given, validation)
        counts = [Targets(responses, len(shown)).count for shown, responses in given.values()]
        compute = self._compute(first, max(counts))
        place = Place(compute.device, self.precision)
        with compute.limited(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = Network(self._sizes(given), self.dropout)
            self._scale: dict[str, tuple[np.ndarray, np.ndarray]] = {}
            people = {name: self._person(name, *each, held.get(name), place) for name, each in given.items()}
            standardise(network, people)
            network.to(place.device)
            self._positions = {name: first.positions[name][0] for name in network.sizes.units}
            schedule = self._schedule(sum(len(person.train) for person in people.values()))
            folder = None if checkpoint is None else Path(checkpoint)
            self.validation_r_ = train(network, people, schedule, place, folder)
        self._network = network.eval().requires_grad_(False)
        self._beside: dict[str, Beside] = {}
        self._mixtures: dict[str, Mixture] = {}
        self._embeddings = {name: person.embeddings for name, person in people.items()}
        self._offset = {name: person.offset for name, person in people.items()}
        self._single = {
            name: Targets(responses, len(shown)).single for name, (shown, responses) in given.items()
        }
        return self

    def add_subject(self, name: str, tokens: Any, Y: Any, folds: int = 5) -> CrossAttentionEncoder:
        """Learn the targets of a new subject from few samples; the network and all others stay as they are.

        A new target looks as known ones do, by how probable each is given the samples, and has readouts of
        its own, which are like theirs before anything is measured: closed forms (`attention.adaptation`).
        What is predicted is a blend with ridge regression on the tokens, weighed per target by how both
        predict samples held out (`blend`).

        With 25, 50, 100 and 400 images of a fourth person in a simulated visual cortex, r with the responses
        less their noise was .15, .23, .21 and .10 above that of ridge (mean of three seeds).

        Parameters
        ----------
        name : str
            Of the subject.
        tokens : Tokens, or mapping of layer to array (n_samples, n_tokens, n_units)
        Y : array (n_samples, n_targets) or (n_samples,)
        folds : int
            Contiguous blocks of samples that are held out in turn; each costs another fit.

        Returns
        -------
        CrossAttentionEncoder
            Itself; `subjects_` and all that goes by subject have one more. `validation_r_` is that of the
            blend in samples held out, averaged over the folds.

        Raises
        ------
        DataError
            The subject is known already, samples do not match or are fewer than twice the folds, layers are
            others, or tokens or responses are not finite.
        """
        check_is_fitted(self, "_network")
        if name in self._embeddings:
            raise DataError(f"subject '{name}' is known already; give another name")
        shown = self._known(tokens)
        observed = checked_responses(Y, len(shown), name)
        pairs = check_folds(folds, len(shown))
        if len(shown) < 2 * len(pairs):
            raise DataError(f"subject '{name}' has {len(shown)} samples; expected {2 * len(pairs)} or more")
        pool: Pool = "mean" if shown.gaps or shown.n_features("flatten") > FLAT_FEATURES else "flatten"
        features = shown.features(pool)
        ridge = RidgeEncoder(RIDGE_ALPHAS, threads=self.threads)
        with self._compute(shown, observed.shape[1]).limited():
            held, beside = np.full((2, *observed.shape), np.nan)
            for train, test in pairs:
                mixture, scale = self._adapted(shown.at(train), observed[train])
                held[test] = self._predicted(shown.at(test), mixture, scale)
                beside[test] = clone(ridge).fit(features[train], observed[train]).predict(features[test])
            weight = blend(held, beside, observed, in_turn=True)
            mixture, scale = self._adapted(shown, observed)
        self._beside[name] = Beside(ridge.fit(features, observed), weight, pool)
        self._embeddings[name], self._offset[name] = mixture.mean(), mixture.offset
        self._mixtures[name], self._scale[name] = mixture, scale
        self._single[name] = Targets(Y, len(shown)).single
        # Within folds: that their means differ would correlate them with what was left out.
        blended = weight * held + (1 - weight) * beside
        r = [pearson(blended[test], observed[test]) for _, test in pairs]
        self.validation_r_[name] = np.mean(np.nan_to_num(r), axis=0)
        return self

    @property
    def subjects_(self) -> list[str]:
        """Names of the subjects; "" for one without."""
        check_is_fitted(self, "_network")
        return list(self._embeddings)

    @property
    def layers_(self) -> list[str]:
        """Names of the layers."""
        check_is_fitted(self, "_network")
        return list(self._network.sizes.units)

    @property
    def embeddings_(self) -> dict[str, np.ndarray]:
        """Embeddings (n_targets, embedding) by subject."""
        check_is_fitted(self, "_network")
        return {name: host(each) for name, each in self._embeddings.items()}

    def predict(self, tokens: Any, subject: str | None = None) -> np.ndarray:
        """Predicted responses (n_samples, n_targets), or (n_samples,) after a fit to such."""
        name, shown = self._asked(tokens, subject)
        with self._compute(shown, len(self._embeddings[name])).limited():
            learned = self._mixtures.get(name, (self._embeddings[name], self._offset[name]))
            found = self._predicted(shown, learned, self._scale[name])
        if name in self._beside:
            found = self._beside[name].blended(found, shown)
        return found[:, 0] if self._single[name] else found

    def score(self, tokens: Any, Y: Any, subject: str | None = None, metric: Metric = "r") -> np.ndarray:
        """Score per target (n_targets,): Pearson r, or R² against the mean of Y; NaN if Y is constant."""
        found = self.predict(tokens, subject)
        observed = checked_responses(Y, len(found), subject or "")
        return scored(found, observed, metric)

    @torch.no_grad()
    def attention(
        self, tokens: Any, subject: str | None = None, targets: Sequence[int] | np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Where targets look: attention (n_samples, n_targets, n_tokens) by layer.

        Attention to the mean of all tokens, and to the one that says nothing, is left out: a row sums to 1
        less those. Attention is not an explanation: see what a target loses without a layer, too.
        """
        name, shown = self._asked(tokens, subject)
        embeddings, shares = self._asking(name, targets)
        batch = self._place().batch(self._network, shown, np.arange(len(shown)))
        found = {}
        for number, (layer, each) in enumerate(zip(self._network.layers, batch, strict=True)):
            weights = self._network.attention(number, embeddings, layer.keys(*each))
            weights = weights[..., : each[0].shape[1]]
            found[self.layers_[number]] = host(weights if shares is None else shares @ weights)
        return found

    @torch.no_grad()
    def fields(
        self,
        subject: str | None = None,
        targets: Sequence[int] | np.ndarray | None = None,
        positions: np.ndarray | Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Where targets look whatever is shown: attention (n_targets, n_positions) by layer; rows sum to 1.

        A population receptive field over the places of an image, or a delay curve over seconds.

        Parameters
        ----------
        subject : str, optional
        targets : int array, optional
        positions : array (n_positions, n_dims), or mapping of it by layer
            All that were fitted by default.
        """
        name = self._named(subject)
        embeddings, shares = self._asking(name, targets)
        found = {}
        for number, layer in enumerate(self.layers_):
            given = positions.get(layer) if isinstance(positions, Mapping) else positions
            places = self._positions[layer] if given is None else np.asarray(given, np.float32)
            looked = self._network.field(number, embeddings, torch.from_numpy(places).to(embeddings.device))
            found[layer] = host(looked if shares is None else shares @ looked)
        return found

    @torch.no_grad()
    def layer_importance(
        self, tokens: Any, Y: Any, subject: str | None = None, batch: int = 32
    ) -> np.ndarray:
        """How much r is lost (n_layers, n_targets) where what a layer adds is replaced by its mean.

        Give samples that were not fitted.
        """
        name, shown = self._asked(tokens, subject)
        observed = checked_responses(Y, len(shown), name)
        with self._compute(shown, len(self._embeddings[name])).limited():
            if name in self._mixtures:
                parts = self._mixtures[name].parts(self._network, shown, self._place(), batch)
            else:
                parts = parts_of(self._network, shown, self._embeddings[name], self._place(), batch)
        whole = parts.sum(axis=0)
        full = np.nan_to_num(pearson(whole, observed))
        return np.stack([full - np.nan_to_num(pearson(whole - part, observed)) for part in parts])

    def save(self, path: str | Path) -> None:
        """Write the fitted encoder to a folder: `encoder.json` and `weights.safetensors`."""
        check_is_fitted(self, "_network")
        arrays = {f"network/{name}": value for name, value in self._network.state_dict().items()}
        for name in self.subjects_:
            mean, deviation = self._scale[name]
            arrays |= {f"embeddings/{name}": self._embeddings[name], f"offset/{name}": self._offset[name]}
            arrays |= {
                f"mean/{name}": torch.from_numpy(mean),
                f"deviation/{name}": torch.from_numpy(deviation),
            }
            arrays[f"validation_r/{name}"] = torch.from_numpy(np.asarray(self.validation_r_[name], float))
        for name, mixture in self._mixtures.items():
            arrays |= {f"mixture/{part}/{name}": value for part, value in mixture.arrays().items()}
        arrays |= {f"beside/{name}": torch.from_numpy(each.weight) for name, each in self._beside.items()}
        arrays |= {f"positions/{name}": torch.from_numpy(value) for name, value in self._positions.items()}
        sizes = self._network.sizes
        known = {
            "encoder": type(self).__name__,
            "parameters": self.get_params(),
            "layers": [[name, units, sizes.dims[name]] for name, units in sizes.units.items()],
            "gaps": sizes.gaps,
            "subjects": self._single,
            "beside": {name: each.pool for name, each in self._beside.items()},
        }
        with replacing(path) as folder:
            folder.mkdir()
            # Parameters may be views of one line: each is written by itself.
            save_file(
                {name: value.detach().cpu().clone() for name, value in arrays.items()}, folder / store.WEIGHTS
            )
            for number, name in enumerate(self._beside):
                self._beside[name].ridge.save(folder / f"ridge-{number}")
            save_json(known, folder / store.SETTINGS)

    @classmethod
    def load(cls, path: str | Path) -> CrossAttentionEncoder:
        """Read an encoder that was saved; it predicts and scores as before.

        Raises
        ------
        DataError
            The folder holds no such encoder, or its files are damaged.
        """
        known = store.settings(path, cls.__name__)
        try:
            encoder = cls(**known["parameters"])
            arrays = load_file(Path(path) / store.WEIGHTS)
            layers = known["layers"]
            encoder._network = Network(
                encoder._sized(
                    {name: units for name, units, _ in layers},
                    {name: dims for name, _, dims in layers},
                    known["gaps"],
                ),
                encoder.dropout,
            )
            place = encoder._place()
            weights = {
                name.removeprefix("network/"): value
                for name, value in arrays.items()
                if name.startswith("network/")
            }
            encoder._network.load_state_dict(weights)
            encoder._network.to(place.device).eval().requires_grad_(False)
            encoder._single = dict(known["subjects"])
            encoder._embeddings = {
                name: arrays[f"embeddings/{name}"].to(place.device) for name in encoder._single
            }
            encoder._offset = {name: arrays[f"offset/{name}"].to(place.device) for name in encoder._single}
            encoder._scale = {
                name: (arrays[f"mean/{name}"].numpy(), arrays[f"deviation/{name}"].numpy())
                for name in encoder._single
            }
            encoder.validation_r_ = {name: arrays[f"validation_r/{name}"].numpy() for name in encoder._single}
            encoder._beside = {
                name: Beside(
                    RidgeEncoder.load(Path(path) / f"ridge-{number}"), arrays[f"beside/{name}"].numpy(), pool
                )
                for number, (name, pool) in enumerate(known["beside"].items())
            }
            encoder._mixtures = {
                name: Mixture.of(arrays, name, encoder._offset[name]) for name in encoder._beside
            }
            encoder._positions = {name: arrays[f"positions/{name}"].numpy() for name, _, _ in layers}
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{path}: not a saved {cls.__name__} ({reason})") from None
        return encoder

    def _adapted(self, shown: Tokens, observed: np.ndarray) -> tuple[Mixture, tuple[np.ndarray, np.ndarray]]:
        """New targets as mixtures of those of `fit`, and their scale."""
        first = [name for name in self._embeddings if name not in self._mixtures]
        known = Known.of(
            torch.cat([self._embeddings[name] for name in first]),
            np.concatenate([self.validation_r_[name] for name in first]),
        )
        mean, deviation = scale_of(observed)
        wanted = (observed - mean) / deviation
        return adapt(self._network, known, shown, wanted, self._place()), (mean, deviation)

    def _predicted(
        self,
        shown: Tokens,
        learned: Mixture | tuple[torch.Tensor, torch.Tensor],
        scale: tuple[np.ndarray, np.ndarray],
    ) -> np.ndarray:
        """What the network predicts (n_samples, n_targets), in units of the responses."""
        mean, deviation = scale
        if isinstance(learned, Mixture):
            found = learned.predicted(self._network, shown, self._place())
        else:
            found = predicted(self._network, shown, *learned, self._place())
        return (found * deviation + mean).astype(np.float32)

    def _check(self) -> None:
        """Refuse parameters that mean nothing."""
        for name, known in (("queries", ("voxel", "prototype")), ("precision", ("float32", "bfloat16"))):
            if getattr(self, name) not in known:
                raise DataError(
                    f"{name} is '{getattr(self, name)}'; {choices(str(getattr(self, name)), known)}"
                )
        for name in ("n_prototypes", "width", "embedding", "steps", "batch", "targets_per_step"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int | np.integer) or value < 1):
                raise DataError(f"{name} is {value}; expected a positive whole number")
        if not 0 <= self.dropout < 1 or not 0 < self.validation < 1 or not self.learning_rate > 0:
            raise DataError(
                f"dropout, validation and learning_rate are {self.dropout}, {self.validation} and "
                f"{self.learning_rate}; expected shares below 1, and a positive rate"
            )

    def _sizes(self, given: Mapping[str, tuple[Tokens, Any]]) -> Sizes:
        """Of the network for these people."""
        first = next(iter(given.values()))[0]
        dims = {
            name: {shown.positions[name].shape[-1] for shown, _ in given.values()} for name in first.layers
        }
        for name, found in dims.items():
            if len(found) > 1:
                raise DataError(
                    f"positions of layer '{name}' have {sorted(found)} dimensions; expected as many for all"
                )
        gaps = any(shown.gaps for shown, _ in given.values())
        return self._sized(first.units, {name: found.pop() for name, found in dims.items()}, gaps)

    def _sized(self, units: dict[str, int], dims: dict[str, int], gaps: bool) -> Sizes:
        prototypes = self.n_prototypes if self.queries == "prototype" else 0
        return Sizes(units, dims, self.width, self.embedding, prototypes, gaps)

    def _person(self, name: str, shown: Tokens, responses: Any, held: Any, place: Place) -> Person:
        """A subject at the start: responses standardised by training samples, embeddings small."""
        observed = checked_responses(responses, len(shown), name)
        train_rows, held_rows = split(len(shown), held, self.validation, name)
        mean, deviation = scale_of(observed[train_rows])
        self._scale[name] = mean, deviation
        n_targets = observed.shape[1]
        embeddings = EMBEDDING_SCALE[self.queries] * torch.randn(n_targets, self.embedding)
        return Person(
            shown,
            ((observed - mean) / deviation).astype(np.float32),
            train_rows,
            held_rows,
            embeddings.to(place.device),
            torch.zeros(n_targets, device=place.device),
        )

    def _schedule(self, n_samples: int) -> Schedule:
        """How long and in what portions to learn from so many samples."""
        batch = self.batch or int(np.clip(n_samples // SAMPLES_PER_BATCH, *BATCHES))
        steps = self.steps or int(np.clip(EPOCHS * n_samples // batch, *STEPS))
        return Schedule(
            steps, batch, self.targets_per_step, self.learning_rate, DECAY, EMBEDDING_DECAY, self.seed
        )

    def _compute(self, shown: Tokens, n_targets: int) -> Compute:
        """Where to compute; on one thread where more would wait for each other longer than they work."""
        n_tokens = max(shown.n_tokens(name) for name in shown.layers)
        small = n_targets * n_tokens < SMALL
        return Compute.choose(self.device or "cpu", self.threads or (1 if small else None))

    def _place(self) -> Place:
        return Place(Compute.choose(self.device or "cpu").device, "float32")

    def _named(self, subject: str | None) -> str:
        check_is_fitted(self, "_network")
        if subject is None and len(self._embeddings) == 1:
            return next(iter(self._embeddings))
        if subject not in self._embeddings:
            raise DataError(f"subject is '{subject}'; {choices(str(subject), tuple(self._embeddings))}")
        return subject

    def _asked(self, tokens: Any, subject: str | None) -> tuple[str, Tokens]:
        """The subject, and tokens that the network knows."""
        return self._named(subject), self._known(tokens)

    def _known(self, tokens: Any) -> Tokens:
        """Tokens of the layers that were fitted."""
        shown = as_tokens(tokens)
        if shown.units != dict(self._network.sizes.units):
            raise DataError(
                f"tokens have layers {shown.units}; expected {dict(self._network.sizes.units)} as fitted"
            )
        return shown

    def _asking(
        self, name: str, targets: Sequence[int] | np.ndarray | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Embeddings that ask; for an added subject also the share (n_targets, n_asking) of each."""
        count = len(self._embeddings[name])
        index = np.arange(count) if targets is None else np.atleast_1d(np.asarray(targets))
        if index.dtype.kind not in "iu" or (index.size and not -count <= index.min() <= index.max() < count):
            raise DataError(f"targets are not indices from 0 to {count - 1}")
        rows = torch.from_numpy(index.astype(np.int64) % count).to(self._embeddings[name].device)
        if name in self._mixtures:
            return self._mixtures[name].embeddings, self._mixtures[name].shares()[rows]
        return self._embeddings[name][rows], None

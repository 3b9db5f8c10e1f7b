"""Hugging Face models in memory: described without weights, weights read or drawn."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from neuroalign.errors import NetworkError
from neuroalign.networks.devices import compute_dtype, find_device
from neuroalign.networks.sources import Located, weights_digest
from neuroalign.settings.networks import Pretrained

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, AttributeError)
"""What transformers raises of a folder that it cannot read."""

_UNUSED = ("pooler", "masked_spec_embed")
"""Parameters that no layer is made of: a head, and what hides sound while a network is trained."""


@dataclass(frozen=True)
class Saved:
    """A saved model that transformers can read.

    Attributes
    ----------
    located : Located
        Its folder.
    source : str
        What the config calls it.
    what : str
        What it should be, for messages: "a text network".
    shown : tuple of str
        What such a network may be shown, by the library's names, such as "input_ids" or "pixel_values".
    part : callable
        Gives of the whole model what is run, such as the image tower of CLIP.
    auto : class
        Of transformers: makes the model of a configuration; without a head by default.
    """

    located: Located
    source: str
    what: str
    shown: tuple[str, ...]
    part: Callable[[Any], Any]
    auto: Any = transformers.AutoModel

    @cached_property
    def configuration(self) -> Any:
        """The model's configuration."""
        return self.ask(
            transformers.AutoConfig.from_pretrained,
            self.located.folder,
            trust_remote_code=False,
            local_files_only=True,
        )

    def skeleton(self) -> Any:
        """Build the model without memory.

        Raises
        ------
        NetworkError
            The configuration is not that of a model that this version of transformers knows, or the
            model is shown something else.
        """
        with torch.device("meta"):
            model = self.ask(self.auto.from_config, self.configuration)
        part = self.part(model)
        if part.main_input_name not in self.shown:
            raise NetworkError(
                f"source '{self.source}': {type(part).__name__} is shown {part.main_input_name}, not "
                f"{' or '.join(self.shown)}, so it is not {self.what}; choose another family"
            )
        return model

    def load(self, settings: Pretrained, seed: int) -> tuple[Any, dict[str, Any]]:
        """Read the weights, or draw them from the seed, and put what is run on its device.

        Parameters
        ----------
        settings : Pretrained
        seed : int

        Returns
        -------
        model : torch.nn.Module
            The whole model; its part is on the device and ready.
        provenance : dict
            Where the weights come from and how they are run.

        Raises
        ------
        NetworkError
            Weights are missing or other than `settings.sha256` says, or the device is not there.
        """
        device = find_device(settings.device)
        dtype = compute_dtype(settings.dtype, device, self.configuration.dtype)
        digest = ""
        if settings.weights == "random":
            model = self._drawn(seed)
        else:
            digest = weights_digest(self.located, self.source, settings.sha256)
            model = self._read(dtype)
        part = self.part(model)
        part.to(device=device, dtype=dtype).eval()
        configuration = self.configuration.to_json_string()
        return model, {
            "source": self.source,
            "revision": self.located.revision,
            "weights": settings.weights,
            "weights_sha256": digest,
            "seed": seed,
            "architecture": type(part).__name__,
            "config_sha256": hashlib.sha256(configuration.encode()).hexdigest(),
            "device": device.type,
            "compute_dtype": str(dtype).removeprefix("torch."),
            "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
        }

    def ask(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the library; what it says of a network it cannot read becomes one line."""
        try:
            with _quietly():
                return call(*args, **kwargs)
        except (*_UNREADABLE, SafetensorError) as error:
            reason = " ".join(str(error).split())[:200]
            raise NetworkError(
                f"source '{self.source}': transformers cannot read it ({reason}); is it {self.what}?"
            ) from None

    def _drawn(self, seed: int) -> Any:
        """Make a model with the library's own initial weights, from the seed alone."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return self.ask(self.auto.from_config, self.configuration, dtype=torch.float32)

    def _read(self, dtype: torch.dtype) -> Any:
        model, report = self.ask(
            self.auto.from_pretrained,
            self.located.folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
        # A pooler or an unused decoder may be absent; what the layers are made of may not.
        prefix = prefix_of(model, self.part(model))
        missing = [
            key
            for key in report["missing_keys"]
            if key.startswith(prefix) and not any(name in key for name in _UNUSED)
        ]
        if missing:
            raise NetworkError(
                f"source '{self.source}': the weights lack {len(missing)} parameters, such as "
                f"'{sorted(missing)[0]}'; they do not belong to this config.json"
            )
        return model


def prefix_of(model: Any, part: Any) -> str:
    """Give the module path of a part with a dot behind it; empty where the part is the model itself."""
    path = next(name for name, module in model.named_modules() if module is part)
    return f"{path}." if path else ""


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the library's bars and hints off the terminal; what matters is checked here."""
    logging: Any = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()

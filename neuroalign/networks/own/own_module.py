"""A torch module by the import path of what makes it, and its weights from a file."""

from __future__ import annotations

import hashlib
import inspect
import pickle
import warnings
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from neuroalign.errors import NetworkError, choices
from neuroalign.settings.modules import Module

_TORCH = (".pt", ".pth", ".bin")
_WRAPPED_IN = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts keep the weights in a file that holds more."""


def build(settings: Module, seed: int) -> torch.nn.Module:
    """Import the factory and call it; whatever it draws at random follows from the seed.

    Raises
    ------
    NetworkError
        There is no such package or function, it fails, or what it makes is no torch module.
    """
    factory = _factory(settings.factory)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model = factory(**settings.arguments)
    except Exception as error:
        raise NetworkError(
            f"factory '{settings.factory}' fails with arguments {settings.arguments} ({_said(error)})"
        ) from None
    if not isinstance(model, torch.nn.Module):
        raise NetworkError(
            f"factory '{settings.factory}' gives {type(model).__name__}; expected a torch.nn.Module"
        )
    return model.eval()


def read_weights(settings: Module, model: torch.nn.Module) -> str:
    """Fill in the weights of `settings.file`.

    Returns
    -------
    str
        sha256 of the file.

    Raises
    ------
    NetworkError
        The file is not there, holds more than weights, or does not fit the module.
    """
    assert settings.file is not None
    path = Path(settings.file).expanduser()
    if not path.is_file():
        raise NetworkError(f"file '{settings.file}': no such file; give the weights of the network")
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if settings.sha256 is not None and not digest.startswith(settings.sha256.lower()):
        raise NetworkError(
            f"file '{settings.file}' has sha256 {digest}, expected {settings.sha256}; "
            "they are other weights than the config names: fix sha256 or the file"
        )
    weights = _state(path)
    _check_fit(settings.file, weights, model.state_dict())
    model.load_state_dict(weights)
    return digest


def code_facts(settings: Module) -> dict[str, Any]:
    """What is known of the factory's code: a digest of its file, and its package's version."""
    factory = _factory(settings.factory)
    facts: dict[str, Any] = {"code_sha256": "", "package_version": ""}
    try:
        source = inspect.getsourcefile(inspect.unwrap(factory))
    except TypeError:  # not written in Python
        source = None
    if source is not None:
        facts["code_sha256"] = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    with suppress(metadata.PackageNotFoundError):
        facts["package_version"] = metadata.version(settings.factory.split(":")[0].split(".")[0])
    return facts


def _factory(place: str) -> Any:
    module_name, _, name = place.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise NetworkError(
                f"factory '{place}': no package '{missing}' is installed; pip install it, or put the folder "
                "that holds it on PYTHONPATH"
            ) from None
        raise NetworkError(
            f"factory '{place}': importing it needs '{missing}', which is not installed; pip install it"
        ) from None
    except Exception as error:
        raise NetworkError(f"factory '{place}': importing {module_name} fails ({_said(error)})") from None
    factory = getattr(module, name, None)
    if not callable(factory):
        public = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise NetworkError(
            f"factory '{place}': {module_name} has no function '{name}': {choices(name, public)}"
        )
    return factory


def _state(path: Path) -> dict[str, torch.Tensor]:
    """The parameters of a file by name; nothing but arrays is ever read."""
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise NetworkError(f"file '{path}': not safetensors ({_said(error)}); save them anew") from None
    if path.suffix not in _TORCH:
        raise NetworkError(f"file '{path}': expected .safetensors, {', '.join(_TORCH)}; convert the weights")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how the file was pickled, which does not matter
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise NetworkError(
            f"file '{path}' holds more than weights, and code is never read from a file; "
            "save model.state_dict() as safetensors"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise NetworkError(f"file '{path}': not a torch file ({_said(error)}); save it anew") from None
    for key in _WRAPPED_IN:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    tensors = isinstance(found, Mapping) and all(isinstance(value, torch.Tensor) for value in found.values())
    if not tensors or not found:
        raise NetworkError(f"file '{path}' holds no state dict; save model.state_dict() as safetensors")
    weights = dict(found)
    if all(name.startswith("module.") for name in weights):  # saved from several devices
        weights = {name.removeprefix("module."): value for name, value in weights.items()}
    return weights


def _check_fit(file: str, given: Mapping[str, torch.Tensor], needed: Mapping[str, torch.Tensor]) -> None:
    lacking = [name for name in needed if name not in given]
    surplus = [name for name in given if name not in needed]
    problems = []
    if lacking:
        problems.append(f"lacks {len(lacking)} of {len(needed)} parameters, such as '{lacking[0]}'")
    if surplus:
        problems.append(f"holds {len(surplus)} others, such as '{surplus[0]}'")
    for name, value in needed.items():
        if not problems and given[name].shape != value.shape:
            problems.append(f"has '{name}' as {tuple(given[name].shape)}, expected {tuple(value.shape)}")
    if problems:
        raise NetworkError(
            f"file '{file}' {' and '.join(problems)}; give the weights of this network, or its arguments"
        )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"

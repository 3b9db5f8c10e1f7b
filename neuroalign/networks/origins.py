"""What a network is made of, as files: a digest that changes when they do, though their path does not.

The workflow asks for it whenever it is read, so it has to be quick: small files count by their content,
large ones by size and time of change. Names on the hub count by their commit.
"""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import re
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from neuroalign.errors import NetworkError
from neuroalign.networks.sources import DESCRIPTION, WEIGHTS, cached_commit, is_on_hub, locate
from neuroalign.settings.features import STIM_ENDING, Features, Handmade
from neuroalign.settings.modules import Module
from neuroalign.settings.networks import Network, Pretrained, Weighted

SMALL_BYTES = 4 * 2**20
"""Files up to this size are read."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


def origin_digest(settings: Network) -> str:
    """A short hash of the files that a network is made of.

    These are the description, tokenizer, preprocessing and weights of a saved model, the weights and the code
    of a module of one's own, or arrays of features. Weights that are drawn are no files. What cannot be found
    counts as nothing: opening the network says what is missing.

    Parameters
    ----------
    settings : Network

    Returns
    -------
    str
        Twelve hexadecimal digits.
    """
    return _hashed(_parts(settings))


def files_digest(paths: Iterable[Path], root: Path) -> str:
    """A short hash of files by name below `root`, size and time of change; their content is not read."""
    return _hashed(f"{_name(path, root)} {_moment(path)}" for path in sorted(paths))


def _parts(settings: Network) -> Iterator[str]:
    drawn = isinstance(settings, Weighted) and not settings.trained
    if isinstance(settings, Pretrained):
        yield from _saved(settings.source, settings.revision, weights=not drawn)
    elif isinstance(settings, Handmade) and settings.model is not None:
        yield from _saved(settings.model, settings.revision, weights=True)
    elif isinstance(settings, Handmade) and settings.table is not None:
        yield from _states([Path(settings.table)])
    elif isinstance(settings, Module):
        yield from _code(settings.factory)
        if settings.file is not None and not drawn:
            yield from _states([Path(settings.file).expanduser()])
    elif isinstance(settings, Features):
        # Without a table of items, the path is a pattern.
        named = [settings.path, settings.items] if settings.items else _fitting(settings.path)
        if settings.path.endswith(STIM_ENDING):
            named += _fitting(settings.path.removesuffix(STIM_ENDING) + ".json")
        for place in map(Path, named):
            inside = [path for path in place.rglob("*") if path.is_file()] if place.is_dir() else [place]
            yield from _states(inside, place)


def _fitting(pattern: str) -> list[str]:
    return glob.glob(re.sub(r"\{\w+\}", "*", pattern))


def _saved(source: str, revision: str | None, weights: bool) -> Iterator[str]:
    if is_on_hub(source):
        yield _commit(source, revision)
        return
    with suppress(NetworkError):
        folder = locate(source).folder
        patterns = (*DESCRIPTION, *(WEIGHTS if weights else ()))
        yield from _states({path for pattern in patterns for path in folder.glob(pattern)})


def _commit(source: str, revision: str | None) -> str:
    """The commit behind a name on the hub; where this machine has none yet, the one it would get."""
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    return cached_commit(source, revision) or _newest(source, revision)


@cache
def _newest(source: str, revision: str | None) -> str:
    """What the hub says, asked once; empty where it says nothing."""
    from huggingface_hub import HfApi

    with suppress(Exception):  # no such name, no connection: fetching it will say so
        return str(HfApi().model_info(source, revision=revision, timeout=5).sha)
    return ""


def _code(factory: str) -> Iterator[str]:
    """An installed package by its version and the factory's module, one's own code by all of its modules."""
    module = factory.partition(":")[0]
    package, *parts = module.split(".")
    with suppress(ImportError, ValueError):
        # Only the spec of a top-level package is looked up: a dotted name would import its parent.
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return
        top = Path(spec.origin)
        if not spec.submodule_search_locations:
            yield from _states([top])
        elif any(top.is_relative_to(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")):
            with suppress(metadata.PackageNotFoundError):
                yield metadata.version(package)
            place = top.parent.joinpath(*parts)
            yield from _states([place.with_suffix(".py") if parts else top])
        else:
            yield from _states(top.parent.rglob("*.py"), top.parent)


def _states(paths: Iterable[Path], root: Path | None = None) -> Iterator[str]:
    """Name and state of every file: content where it is small, else size and time of change."""
    for path in sorted(paths):
        with suppress(OSError):
            if path.stat().st_size <= SMALL_BYTES:
                yield f"{_name(path, root)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
            else:
                yield f"{_name(path, root)} {_moment(path)}"


def _name(path: Path, root: Path | None) -> str:
    return path.relative_to(root).as_posix() if root is not None and path != root else path.name


def _moment(path: Path) -> str:
    with suppress(OSError):
        state = path.stat()
        return f"{state.st_size} {state.st_mtime_ns}"
    return ""


def _hashed(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

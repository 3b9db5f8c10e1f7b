"""From the name of a network to a folder on this disk: hub, local folder, installed package."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

from neuroalign.errors import NetworkError

DESCRIPTION = ("*.json", "*.jinja", "*.txt", "*.model", "*.spm")
"""Files that say what a model is and how it is shown things."""

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
"""Files of its weights."""


@dataclass(frozen=True)
class Located:
    """A network's folder.

    Attributes
    ----------
    folder : Path
        Holds config.json, the tokenizer and the weights.
    revision : str
        The hub's commit; empty for folders and packages.
    """

    folder: Path
    revision: str


def locate(source: str, revision: str | None = None, weights: bool = True) -> Located:
    """Find a network's folder; a hub name is downloaded, or taken from the hub's cache.

    A branch stays at the commit that this machine has of it, so that results do not change by themselves.

    Parameters
    ----------
    source : str
        A name on the Hugging Face hub, a local folder, or `package:FOLDER`, a path whose first part
        is an installed package. The package is found but not imported.
    revision : str, optional
        Commit, tag or branch; hub names only.
    weights : bool
        Whether the weights are needed as well as the description.

    Raises
    ------
    NetworkError
        There is no such package, folder or hub name, or the hub cannot be reached.
    """
    if source.startswith("package:"):
        folder = _package_folder(source)
    elif (path := Path(source).expanduser()).is_dir():
        folder = path
    elif not is_on_hub(source):
        raise NetworkError(f"source '{source}': no such folder; give a folder that holds config.json")
    else:
        folder = _hub_folder(source, revision, weights)
        return Located(folder, folder.name)
    if revision is not None:
        raise NetworkError(
            f"revision '{revision}' goes with a hub name, but source '{source}' is a folder; drop it"
        )
    if not (folder / "config.json").is_file():
        raise NetworkError(
            f"source '{source}': the folder holds no config.json; give the folder of a saved model"
        )
    return Located(folder, "")


def is_on_hub(source: str) -> bool:
    """Whether a source is a name on the hub: neither a folder, nor written like one, nor in a package."""
    written = source.startswith(("package:", "/", ".", "~")) or source.count("/") > 1
    return not written and not Path(source).is_dir()


def cached_commit(source: str, revision: str | None = None) -> str | None:
    """The commit that this machine has of a name on the hub; None where it has none."""
    from huggingface_hub import constants, file_download

    try:
        folder = file_download.repo_folder_name(repo_id=source, repo_type="model")
        reference = Path(constants.HF_HUB_CACHE, folder, "refs", revision or constants.DEFAULT_REVISION)
        return reference.read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError):  # nothing was fetched, or the name cannot be one
        return None


def _package_folder(source: str) -> Path:
    name, _, inside = source.removeprefix("package:").strip("/").partition("/")
    # Only the spec of a top-level package is looked up: a dotted name would import its parent.
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise NetworkError(
            f"source '{source}': no package '{name}' is installed; pip install it or give a folder"
        )
    for location in spec.submodule_search_locations:
        if (folder := Path(location) / inside).is_dir():
            return folder
    raise NetworkError(f"source '{source}': the package '{name}' has no folder '{inside}'; see what it holds")


def _hub_folder(source: str, revision: str | None, weights: bool) -> Path:
    from huggingface_hub import errors, snapshot_download

    patterns = [*DESCRIPTION, *(WEIGHTS if weights else ())]
    known = cached_commit(source, revision) or revision
    local = "a local folder or package:FOLDER would do"
    try:
        return Path(snapshot_download(source, revision=known, allow_patterns=patterns))
    except errors.HFValidationError:
        raise NetworkError(f"source '{source}': neither a folder nor a valid hub name; {local}") from None
    except errors.RevisionNotFoundError:
        raise NetworkError(
            f"source '{source}' has no revision '{revision}'; give a commit, tag or branch"
        ) from None
    except errors.RepositoryNotFoundError:
        raise NetworkError(
            f"source '{source}': not on the hub, or closed to you; check the name; {local}"
        ) from None
    except (OSError, ValueError, RuntimeError) as error:
        kind = type(error).__name__
        raise NetworkError(f"source '{source}': the hub cannot be reached ({kind}); {local}") from None


def weights_digest(located: Located, source: str, expected: str | None = None) -> str:
    """Compute the sha256 of the weights; shards are hashed as if joined in the order of their names.

    Raises
    ------
    NetworkError
        There are no safetensors weights, or the digest does not begin with `expected`.
    """
    digest = hashlib.sha256()
    for path in _weight_files(located.folder, source):
        with path.open("rb") as file:
            while block := file.read(1 << 24):
                digest.update(block)
    received = digest.hexdigest()
    if expected is not None and not received.startswith(expected.lower()):
        raise NetworkError(
            f"source '{source}': the weights have sha256 {received}, expected {expected}; "
            "they are other weights than the config names: fix sha256 or the source"
        )
    return received


def _weight_files(folder: Path, source: str) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    files = [folder / "model.safetensors"]
    if not files[0].is_file() and index.is_file():
        try:
            names = set(map(str, json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise NetworkError(
                f"source '{source}': {index.name} is no list of files; save the model anew"
            ) from None
        for name in sorted(names):
            if Path(name).name != name:
                raise NetworkError(
                    f"source '{source}': {index.name} names '{name}', which leads out of the folder; save "
                    "the model anew"
                )
        files = [folder / name for name in sorted(names)]
    for path in files:
        if not path.is_file():
            raise NetworkError(
                f"source '{source}': no {path.name}; only safetensors weights are read (never pickles): "
                "convert them with transformers' save_pretrained"
            )
    return files

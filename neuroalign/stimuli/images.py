"""Images that were shown: every distinct file once, where it lies and what it holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from tqdm import tqdm

from neuroalign.errors import DataError
from neuroalign.stimuli.labels import label_columns


def gather_images(shown: list[pd.DataFrame], look: Callable[[str], str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join the images of all runs into items and events, each distinct file once.

    Parameters
    ----------
    shown : list of DataFrame
        Columns `uri`, `onset`, `duration`, `subject`, `session`, `task`, `run`.
    look : function of an address
        Gives the digest of an image, or complains of it.

    Returns
    -------
    items, events : DataFrame
        As `neuroalign.stimuli.events.read_stimuli` returns them, without `content`.

    Raises
    ------
    DataError
        Files are missing; the first of them is named.
    """
    every = pd.concat(shown, ignore_index=True)
    addresses = sorted(set(every["uri"]))
    digests, problems = [], []
    for uri in tqdm(addresses, "images", unit="image", disable=None):
        try:
            digests.append(look(uri))
        except DataError as error:
            problems.append(str(error))
    if problems:
        more = f" (and {len(problems) - 1} more images like it)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}")
    number = np.arange(len(addresses))
    items = pd.DataFrame(
        {
            "item": number,
            "passage": number.astype(np.int64),
            "position": 0,
            "sentence": np.int64(0),
            "modality": "image",
            "text": "",
            "uri": addresses,
            "digest": digests,
        }
    )
    every["item"] = every["uri"].map(dict(zip(addresses, number, strict=True)))
    columns = ["subject", "session", "task", "run", "onset", "duration", "item"]
    return items, every[[*columns, *label_columns(every)]]


def address(name: str, root: Path, dataset: Path | None = None) -> str:
    """Give the address of an image that a table names.

    Parameters
    ----------
    name : str
        Relative to `root`; may be an address within an HDF5 file.
    root : Path
    dataset : Path, optional
        A link may lead to a place below this folder, too: some datasets keep all content in one.

    Raises
    ------
    DataError
        The name leads out of the folder, by itself or by a link.
    """
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts:
        raise DataError(f"stimulus '{name}' leads out of '{root}'; give its path below that folder")
    place = Path(str(root / inside).partition("::")[0])
    within = [folder.resolve() for folder in (root, dataset) if folder is not None]
    real = place.resolve()
    if not any(real.is_relative_to(folder) for folder in within):
        raise DataError(f"stimulus '{place}' is a link that leads out of '{root}'; put a copy in its place")
    return str(root / inside)

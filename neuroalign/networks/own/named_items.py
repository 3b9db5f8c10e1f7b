"""Tables made elsewhere with a row for every stimulus, found by its name."""

from __future__ import annotations

import csv
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from neuroalign.errors import DataError, NetworkError, choices


class NamedItems:
    """The rows of a table by the stimuli that they are about.

    A word is found by its text. An image is found by its address, or by the end of it: `cat/01.png` in the
    table is the image `/data/bids/stimuli/cat/01.png`, and so is `01.png` where only one image is called so.

    Parameters
    ----------
    path : str
        TSV whose column `item` names the stimuli.
    key : str
        What the config calls it, for messages.

    Attributes
    ----------
    table : DataFrame
        All columns, as text.
    rows : dict of int
        Row of the table by the stimulus' name.

    Raises
    ------
    NetworkError
        The table is not there, is not one, or names a stimulus twice.
    """

    def __init__(self, path: str, key: str = "items") -> None:
        self.path, self.key = path, key
        self.table = _read(path, key)
        names = self.table["item"]
        twice = names[names.duplicated()]
        if len(twice):
            raise NetworkError(
                f"{key} '{path}': '{twice.iloc[0]}' stands there twice; name each stimulus once"
            )
        self.rows = {name: row for row, name in enumerate(names)}

    def find(self, items: pd.DataFrame) -> list[int]:
        """Row of every item of an items table.

        Raises
        ------
        DataError
            An item has none, or shares one with another.
        """
        images = (items["modality"] != "text").to_numpy()
        keys = np.where(images, items.get("uri", ""), items["text"])
        found: dict[tuple[bool, str], tuple[str, int] | None] = {}
        for place in zip(images.tolist(), keys.tolist(), strict=True):
            if place not in found:
                found[place] = self._match(*place)
        missing = [key for (_, key), match in found.items() if match is None]
        if missing:
            raise DataError(
                f"{self.key} '{self.path}': no row for '{missing[0]}' ({len(missing)} of {len(found)} "
                "stimuli have none); name every stimulus of the study in the column 'item'"
            )
        matches = {place: match for place, match in found.items() if match is not None}
        self._refuse_shared(matches)
        return [matches[place][1] for place in zip(images.tolist(), keys.tolist(), strict=True)]

    def _match(self, is_image: bool, key: str) -> tuple[str, int] | None:
        """The longest name in the table that is the stimulus, or the end of its address; and its row."""
        parts = PurePosixPath(key).parts if is_image else ()
        ends = ["/".join(parts[start:]) for start in range(1, len(parts))]
        for name in (key, *ends):
            if name in self.rows:
                return name, self.rows[name]
        return None

    def _refuse_shared(self, matches: dict[tuple[bool, str], tuple[str, int]]) -> None:
        owner: dict[str, str] = {}
        for (_, key), (name, _) in matches.items():
            if owner.setdefault(name, key) != key:
                raise DataError(
                    f"{self.key} '{self.path}': '{name}' is the end of both '{owner[name]}' and "
                    f"'{key}'; write more of the path"
                )


def _read(path: str, key: str) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            path,
            sep="\t",
            dtype=str,
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
            skip_blank_lines=False,
            encoding="utf-8",
        )
    except FileNotFoundError:
        raise NetworkError(
            f"{key}: no file at '{path}'; give a TSV whose column 'item' names every row"
        ) from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise NetworkError(
            f"{key} '{path}': not a table that can be read ({reason}); save it "
            "as UTF-8 text with the columns parted by tabs"
        ) from None
    if "item" not in table:
        raise NetworkError(f"{key} '{path}': no column 'item': {choices('item', table.columns)}")
    return table

"""What was shown when: words, images, sound or film, from BIDS events, a TextGrid or a plain table."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import string
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from neuroalign import bids
from neuroalign.errors import ConfigError, DataError, choices
from neuroalign.settings.dataset import Dataset, StimulusSource
from neuroalign.stimuli.clips import gather_clips
from neuroalign.stimuli.images import address, gather_images
from neuroalign.stimuli.labels import labelled, picked
from neuroalign.stimuli.media import content_digest
from neuroalign.stimuli.passages import gather
from neuroalign.stimuli.recorded import file_digest
from neuroalign.stimuli.textgrid import read_textgrid

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

LONGEST_GUESS_S = 1.0
"""A word whose duration is not given lasts until the next one, but no longer than this."""


def read_stimuli(
    index: pd.DataFrame,
    dataset: Dataset,
    source: StimulusSource,
    subjects: list[str],
    look: Callable[[str], str] | None = None,
    labels: Sequence[str] = (),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read what every subject was shown in every run, each distinct passage or image once.

    Parameters
    ----------
    index : DataFrame
        From `bids.index_dataset`.
    dataset : Dataset
    source : StimulusSource
        Where the words are; `source.passage` says how far context reaches.
    subjects : list of str
        Labels without `sub-`.
    look : function of an address, optional
        Gives the digest of an image or a file, or complains of it; left out, its content is hashed. A
        quicker look reads its header only.
    labels : sequence of str, optional
        Columns of the events that label the stimuli: items have them, see `labels`.

    Returns
    -------
    items : DataFrame
        One row per word of each distinct passage: `item` (row number), `passage`, `position` (within
        the passage), `sentence` (running number within the passage), `modality`, `text`. Passages
        with the same words are one, across runs and subjects. Of images one row each, with `uri`, its
        address, and `digest`, a hash of its content. Of sound and film one row per step of each file,
        whose passage is the file, with `start_s` and `stop_s` beside these.
    events : DataFrame
        One row per stimulus: `subject`, `session`, `task`, `run`, `onset` (s after the first volume),
        `duration` (s), `item`, `content`. Equal words, or images of equal content, have one number;
        numbers follow a hash: they are in no order that an experiment could have.

    Raises
    ------
    DataError
        A run has no stimuli, or a file is missing or cannot be read.
    """
    shown = []
    for subject in subjects:
        own = bids.select(index, subject=("", subject))
        for run in bids.find_runs(own, dataset, subject):
            place = {"subject": subject, "session": run.session, "task": run.task, "run": run.label}
            shown.append(read_run(own, dataset, source, run, labels).assign(**place))
    if source.modality == "text":
        return numbered(*labelled(*gather(shown, source.passage), labels))
    root = Path(dataset.path, source.root)
    names = list(dict.fromkeys(name for one in shown for name in one["word"].unique()))
    for name in source.files:
        if name not in names:
            raise ConfigError(
                f"stimuli.files: '{name}' is nowhere in column '{source.named}': {choices(name, names[:20])}"
            )
    places = {name: address(source.files.get(name, name), root, Path(dataset.path)) for name in names}
    placed = [one.assign(uri=one["word"].map(places)) for one in shown]
    if source.modality == "image":
        return numbered(*labelled(*gather_images(placed, look or content_digest), labels))
    step = None if source.step_s == "whole" else source.step_s
    return numbered(*labelled(*gather_clips(placed, source.modality, step, look or file_digest), labels))


def numbered(items: pd.DataFrame, events: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give events the number of their content, by the order of hashes; see `read_stimuli`."""
    contents = items["digest"] if "digest" in items else items["text"]
    hashes = [hashlib.sha256(content.encode()).hexdigest() for content in contents]
    number = np.unique(np.array(hashes), return_inverse=True)[1].astype(np.int64)
    return items, events.assign(content=number[events["item"]])


def read_run(
    index: pd.DataFrame,
    dataset: Dataset,
    source: StimulusSource,
    run: bids.Run,
    labels: Sequence[str] = (),
) -> pd.DataFrame:
    """Read the words or names of images that one subject was shown in one run.

    Parameters
    ----------
    index : DataFrame
        From `bids.index_dataset`.
    dataset : Dataset
    source : StimulusSource
    run : bids.Run
    labels : sequence of str, optional
        Columns that label the stimuli.

    Returns
    -------
    DataFrame
        Columns `onset` (s after the first volume, ascending), `duration` (s), `word`, and `sentence`
        where the table has one. A missing duration lasts until the next onset, at most
        `LONGEST_GUESS_S`; that of sound and film stays missing, since their files know it.

    Raises
    ------
    DataError
        The file or the column is missing, a time is not a number, or there is no word at all.
    """
    path = events_path(index, dataset, source, run)
    if source.source == "textgrid":
        words = read_textgrid(path, source.tier).join(picked(pd.DataFrame(), labels, path))
    else:
        words = _read_table(path, source.named, labels)
    words["word"] = words["word"].str.strip()
    words = words[~words["word"].isin([*source.skip, ""])].reset_index(drop=True)
    if words.empty:
        raise DataError(
            f"{path}: no {source.noun}s for {run}; check stimuli.column, stimuli.tier and stimuli.skip"
        )
    for column, lowest in (("onset", -np.inf), ("duration", 0.0)):
        wrong = ~(words[column] >= lowest) if column == "onset" else words[column] < lowest
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            which = f"{column} of {source.noun} {at + 1} ('{words['word'][at]}')"
            raise DataError(
                f"{path}: {which} is {words[column][at]:g}; "
                f"give {'a number of seconds' if column == 'onset' else 'a duration of 0 s or more'}"
            )
    words = words.sort_values("onset", kind="stable", ignore_index=True)
    if source.modality in ("text", "image"):
        until_next = (-words["onset"].diff(-1)).fillna(LONGEST_GUESS_S).clip(upper=LONGEST_GUESS_S)
        words["duration"] = words["duration"].fillna(until_next)
    words["onset"] -= source.offset_s
    return words


def count_events(index: pd.DataFrame, dataset: Dataset, source: StimulusSource, run: bids.Run) -> int:
    """Count the events of a run that are stimuli: those that `source.skip` does not name.

    Raises
    ------
    DataError
        There is no table of events, or it cannot be read.
    """
    if source.source == "textgrid":
        return len(read_run(index, dataset, source, run))
    table = read_tsv(events_path(index, dataset, source, run))
    if source.named in table:
        table = table[~table[source.named].str.strip().isin([*source.skip, ""])]
    return len(table)


def events_path(index: pd.DataFrame, dataset: Dataset, source: StimulusSource, run: bids.Run) -> Path:
    """Find the file that holds the stimuli of a run.

    Events follow the BIDS inheritance principle: `task-story_events.tsv` at the root of the dataset
    serves every run that has no file of its own.

    Raises
    ------
    DataError
        There is no such file, or more than one.
    """
    if source.path is not None:
        return _pattern_path(dataset, source.path, run)
    rows = bids.select(index, suffix="events", extension=".tsv")
    rows = bids.select(
        rows,
        subject=("", run.subject),
        session=("", run.session),
        task=("", run.task),
        run_entity=("", run.run_entity),
    )
    if rows.empty:
        raise DataError(
            f"{run}: no events file; add "
            f"'{bids.bids_name(_entities(run), 'events', '.tsv')}' to the dataset, or set stimuli.source"
        )
    specific = (rows[["subject", "session", "task", "run_entity"]] != "").sum(axis=1)
    nearest = rows[specific == specific.max()]
    raw = nearest[nearest["scope"] == "raw"]
    paths = list((nearest if raw.empty else raw)["path"])
    if len(paths) > 1:
        raise DataError(
            f"{run}: {len(paths)} events files ({', '.join(paths)}); keep the one that holds the stimuli"
        )
    return Path(dataset.path, str(paths[0]))


def read_tsv(path: str | Path) -> pd.DataFrame:
    """Read a tab-separated table as text, nothing interpreted: the word 'null' stays a word.

    Raises
    ------
    DataError
        The file is missing, empty or not a table.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
        _refuse_odd_table(path, text)
        # Words may begin with a quotation mark, which must not swallow the lines that follow.
        table = pd.read_csv(
            io.StringIO(text), sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE
        )
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; add it or correct the path") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: the table is empty; expected a header line and rows") from None
    except DataError:
        raise
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(
            f"{path}: not a tab-separated table ({reason}); mend it, or save it anew as UTF-8 text"
        ) from None
    return table.rename(columns=str.strip)


def _refuse_odd_table(path: str | Path, text: str) -> None:
    """Refuse what readers of tables pass over: control characters, and two columns of one name."""
    if odd := _CONTROL.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        raise DataError(f"{path}: line {line} holds the control character {odd[0]!r}; remove it")
    names = [name.strip() for name in text.partition("\n")[0].split("\t")]
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise DataError(f"{path}: two columns are called '{twice[0]}'; rename or remove one")


def _pattern_path(dataset: Dataset, pattern: str, run: bids.Run) -> Path:
    known = {"subject": run.subject, "session": run.session, "task": run.task, "run": run.run_entity}
    fields = {field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None}
    for field in sorted(fields - set(known)):
        raise ConfigError(f"stimuli.path: '{{{field}}}' is not known: {choices(field, known)}")
    path = Path(dataset.path) / pattern.format(**known)
    if not path.is_file():
        raise DataError(f"{run}: no stimulus file '{path}'; add it or correct stimuli.path")
    return path


def _entities(run: bids.Run) -> dict[str, str]:
    return {"sub": run.subject, "ses": run.session, "task": run.task, "run": run.run_entity}


def _read_table(path: Path, named: str, labels: Sequence[str]) -> pd.DataFrame:
    table = read_tsv(path)
    for column, setting in (("onset", ""), (named, "set stimuli.column: ")):
        if column not in table:
            raise DataError(f"{path}: no column '{column}'; {setting}{choices(column, table.columns)}")
    words = pd.DataFrame({"word": table[named].map(_unquote)})
    for column in ("onset", "duration"):
        text = table[column].str.strip() if column in table else pd.Series("n/a", table.index)
        given = ~text.isin(["", "n/a"])
        numbers = pd.to_numeric(text.where(given, "nan"), errors="coerce")
        wrong = text[given & ~np.isfinite(numbers) & (text.str.lower() != "nan")]
        if len(wrong):
            raise DataError(
                f"{path}: line {wrong.index[0] + 2}: {column} '{wrong.iloc[0]}' is not a finite number; "
                "give seconds"
            )
        words[column] = numbers.astype(float)
    if "sentence" in table and named != "sentence":
        words["sentence"] = table["sentence"]
    return words.join(picked(table, labels, path))


def _unquote(cell: str) -> str:
    """Undo the doubling of quotation marks that table writers add around a cell that holds one."""
    inner = cell[1:-1]
    if len(cell) > 3 and cell[0] == cell[-1] == '"' and '"' in inner and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return cell

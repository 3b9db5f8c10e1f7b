"""BIDS datasets with something missing, damaged or that does not fit."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

CASES = {}
"""Name → what damages the study, the commands that must refuse it, and what they name."""


def case(*commands, named):
    def keep(damage):
        CASES[damage.__name__] = (damage, commands, named)
        return damage

    return keep


RESPONSES = ("responses", "--subject", "01")
INDEX, STIMULI, CHECK = ("index",), ("stimuli",), ("check",)


def lines_of(path):
    return path.read_text().splitlines()


def rewrite(path, change):
    """Change the cells of a table, a list of lists."""
    rows = [line.split("\t") for line in lines_of(path)]
    path.write_text("\n".join("\t".join(row) for row in change(rows)) + "\n")


@case(CHECK, INDEX, named=("dataset.path", "data"))
def no_dataset(study):
    shutil.rmtree(study.data)


@case(CHECK, INDEX, named=("dataset.path",))
def a_file_for_a_dataset(study):
    shutil.rmtree(study.data)
    study.data.write_text("")


@case(CHECK, INDEX, named=("dataset.derivatives", "fmriprep"))
def no_derivatives(study):
    shutil.rmtree(study.data / "derivatives")


@case(CHECK, named=("dataset.path", "sub-*"))
def no_subjects(study):
    for subject in ("01", "02"):
        shutil.rmtree(study.data / f"sub-{subject}")
        shutil.rmtree(study.data / f"derivatives/fmriprep/sub-{subject}")


@case(CHECK, RESPONSES, named=("sub-01", "no parcels recordings"))
def a_subject_without_recordings(study):
    shutil.rmtree(study.data / "derivatives/fmriprep/sub-01")


@case(CHECK, STIMULI, named=("sub-01", "run-1", "events"))
def no_events(study):
    study.events().unlink()


@case(CHECK, STIMULI, named=("run-1_events.tsv", "empty"))
def empty_events(study):
    study.events().write_bytes(b"")


@case(CHECK, STIMULI, named=("run-1_events.tsv", "no words"))
def events_without_rows(study):
    study.events().write_text("onset\tduration\tword\n")


@case(CHECK, STIMULI, named=("run-1_events.tsv", "onset"))
def events_without_onset(study):
    rewrite(study.events(), lambda rows: [row[1:] for row in rows])


@case(CHECK, STIMULI, named=("run-1_events.tsv", "'word'"))
def events_without_words(study):
    rewrite(study.events(), lambda rows: [row[:2] for row in rows])


@case(CHECK, STIMULI, named=("run-1_events.tsv", "line 4", "soon"))
def an_onset_that_is_no_number(study):
    rewrite(study.events(), lambda rows: [*rows[:3], ["soon", *rows[3][1:]], *rows[4:]])


@case(CHECK, STIMULI, named=("run-1_events.tsv", "line 4", "inf"))
def an_onset_without_end(study):
    rewrite(study.events(), lambda rows: [*rows[:3], ["inf", *rows[3][1:]], *rows[4:]])


@case(CHECK, STIMULI, named=("run-1_events.tsv", "duration", "inf"))
def a_duration_without_end(study):
    rewrite(study.events(), lambda rows: [*rows[:3], [rows[3][0], "inf", rows[3][2]], *rows[4:]])


@case(CHECK, STIMULI, named=("run-1_events.tsv", "nan", "onset"))
def an_onset_that_is_missing(study):
    rewrite(study.events(), lambda rows: [*rows[:3], ["n/a", *rows[3][1:]], *rows[4:]])


@case(CHECK, STIMULI, named=("run-1_events.tsv", "duration", "-1"))
def a_duration_below_zero(study):
    rewrite(study.events(), lambda rows: [*rows[:3], [rows[3][0], "-1", rows[3][2]], *rows[4:]])


@case(CHECK, STIMULI, named=("run-1_events.tsv",))
def events_with_a_row_too_long(study):
    rewrite(study.events(), lambda rows: [*rows[:3], [*rows[3], "more", "more"], *rows[4:]])


@case(CHECK, STIMULI, named=("run-1_events.tsv", "word"))
def events_with_a_column_twice(study):
    rewrite(study.events(), lambda rows: [[*row, row[2]] for row in rows])


@case(CHECK, STIMULI, named=("run-1_events.tsv",))
def events_in_latin_1(study):
    study.events().write_bytes("onset\tduration\tword\n1\t1\tKöln\n".encode("latin-1"))


@case(CHECK, STIMULI, named=("run-1_events.tsv",))
def events_with_zero_bytes(study):
    study.events().write_bytes(study.events().read_bytes().replace(b"word3", b"wo\0rd"))


@case(CHECK, STIMULI, named=("run-1_events.tsv",))
def events_with_control_characters(study):
    study.events().write_bytes(study.events().read_bytes().replace(b"word3", b"wo\x1b[31mrd"))


@case(CHECK, STIMULI, named=("run-1_events.tsv",))
def events_that_are_a_folder(study):
    study.events().unlink()
    study.events().mkdir()


@case(CHECK, STIMULI, named=("run-1_events.tsv",))
def events_that_link_to_nothing(study):
    study.events().unlink()
    study.events().symlink_to(study.folder / "nowhere.tsv")


@case(CHECK, named=("run-1", "24 volumes", "begins at"))
def words_after_the_recording(study):
    rewrite(
        study.events(), lambda rows: [rows[0], *([str(float(row[0]) + 500), *row[1:]] for row in rows[1:])]
    )


@case(CHECK, RESPONSES, named=("run-1_timeseries.tsv", "empty"))
def an_empty_recording(study):
    study.recording().write_bytes(b"")


@case(CHECK, RESPONSES, named=("run-1_timeseries.tsv", "cut off"))
def a_recording_cut_short(study):
    text = study.recording().read_text()
    study.recording().write_text(text.rstrip("\n").rsplit("\t", 1)[0])


@case(CHECK, RESPONSES, named=("run-2_timeseries.tsv", "columns"))
def a_run_with_other_parcels(study):
    rewrite(study.recording(run="2"), lambda rows: [["A", "B", "D"], *rows[1:]])


@case(CHECK, RESPONSES, named=("timeseries.tsv", "'A'"))
def parcels_of_one_name(study):
    for run in ("1", "2", "3"):
        rewrite(study.recording(run=run), lambda rows: [["A", "A", "C"], *rows[1:]])


@case(RESPONSES, named=("run-1_timeseries.tsv", "'B'", "not numeric"))
def a_parcel_of_words(study):
    rewrite(study.recording(), lambda rows: [rows[0], *([row[0], "x", row[2]] for row in rows[1:])])


@case(CHECK, RESPONSES, named=("run-1", "no sidecar gives its RepetitionTime"))
def no_repetition_time(study):
    study.recording(ending="_timeseries.json").unlink()


@case(CHECK, named=("run-1_timeseries.json", "JSON"))
def a_sidecar_that_is_no_json(study):
    study.recording(ending="_timeseries.json").write_text("{")


@case(CHECK, named=("run-1_timeseries.json", "list"))
def a_sidecar_that_is_a_list(study):
    study.recording(ending="_timeseries.json").write_text("[1]")


@case(CHECK, RESPONSES, named=("RepetitionTime",))
def a_repetition_time_in_words(study):
    study.recording(ending="_timeseries.json").write_text('{"RepetitionTime": "2 s"}')


@case(CHECK, RESPONSES, named=("RepetitionTime",))
def a_repetition_time_without_end(study):
    study.recording(ending="_timeseries.json").write_text('{"RepetitionTime": Infinity}')


@case(CHECK, RESPONSES, named=("sub-01", "repetition times", "differ"))
def runs_of_two_repetition_times(study):
    study.recording(ending="_timeseries.json").write_text(json.dumps({"RepetitionTime": 1.0}))


@case(CHECK, RESPONSES, named=("run-1", "confounds"))
def no_confounds(study):
    study.recording(ending="_desc-confounds_timeseries.tsv").unlink()


@case(CHECK, RESPONSES, named=("confounds_timeseries.tsv", "24"))
def confounds_of_another_length(study):
    rewrite(study.recording(ending="_desc-confounds_timeseries.tsv"), lambda rows: rows[:-3])


@case(CHECK, RESPONSES, named=("confounds_timeseries.tsv", "trans_x"))
def confounds_with_a_gap(study):
    path = study.recording(ending="_desc-confounds_timeseries.tsv")
    rewrite(path, lambda rows: [*rows[:5], ["n/a", rows[5][1]], *rows[6:]])


@case(CHECK, RESPONSES, named=("run-1", "recordings fit"))
def two_recordings_of_a_run(study):
    path = study.recording()
    shutil.copy(path, path.with_name(path.name.replace("_timeseries", "_atlas-other_timeseries")))


@case(CHECK, RESPONSES, named=("run-01", "run-1"))
def a_run_under_two_names(study):
    for path in (study.recording(), study.events(), study.recording(ending="_timeseries.json")):
        shutil.copy(path, path.with_name(path.name.replace("run-1", "run-01")))


@case(CHECK, named=("no such file",))
def a_recording_that_was_never_fetched(study):
    study.recording().unlink()
    study.recording().symlink_to("../../.git/annex/objects/none")


@case(CHECK, INDEX, named=("again", "link"))
def folders_that_contain_themselves(study):
    (study.data / "sub-01/again").symlink_to(study.data / "sub-01")


@case(CHECK, RESPONSES, named=("run-1", "volumes"))
def a_run_of_two_volumes(study):
    rewrite(study.recording(), lambda rows: rows[:3])
    rewrite(study.recording(ending="_desc-confounds_timeseries.tsv"), lambda rows: rows[:3])


ALL = [(name, command) for name, (_, commands, _) in CASES.items() for command in commands]


@pytest.mark.parametrize(("name", "command"), ALL, ids=[f"{name}-{command[0]}" for name, command in ALL])
def test_a_dataset_that_is_not_whole(story, refused, run, name, command):
    damage, _, named = CASES[name]
    damage(story)
    if command[0] in ("stimuli", "responses"):
        # An index of a damaged dataset is fine: it lists the files that are there.
        ran = run("index", story.save())
        assert ran.status == 0, ran.err
    refused(story, *command, named=named)


def test_what_may_not_be_read(story, refused):
    if os.geteuid() == 0:
        pytest.skip("the superuser may read everything")
    story.events().chmod(0)
    refused(story, "check", named=("events.tsv", "Permission"))


@pytest.mark.parametrize("value", ["n/a", "1"])
def test_a_subject_without_a_target_is_spoken_of(results, run, value):
    for number in ("1", "2", "3"):
        rewrite(results.recording(run=number), lambda rows: [rows[0], *([value] * 3 for _ in rows[1:])])
    ran = run(*RESPONSES[:1], results.save(), *RESPONSES[1:])
    assert ran.status == 0
    assert "sub-01: 3 of 3 targets are constant or not finite" in ran.err


def test_nothing_of_a_subject_is_logged(results, run):
    """No word that was heard, and no number that was measured, reaches terminal or log."""
    log = results.folder / "a.log"
    shutil.rmtree(results.out)
    said = ""
    for command in (INDEX, STIMULI, ("activations", "--network", "net"), RESPONSES):
        ran = run(command[0], results.save(), *command[1:], "--log", str(log))
        assert ran.status == 0
        said += ran.out + ran.err + log.read_text()
    words = {line.split("\t")[2] for line in lines_of(results.events())[1:]}
    numbers = {cell for line in lines_of(results.recording())[1:] for cell in line.split("\t")}
    assert not [word for word in words | numbers if word in said]
    assert np.char.str_len(sorted(words)).min() > 3

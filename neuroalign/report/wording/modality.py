"""What the report calls stimuli, by their modality."""

from __future__ import annotations

from neuroalign.settings.config import Study

PIECES = {"text": "words", "image": "images", "audio": "steps of sound", "video": "steps of video"}
"""What a network says something about."""

SIMPLE = {
    "text": "word rate, word length and the like",
    "image": "luminance, contrast and the like",
    "audio": "sound power and the like",
    "video": "motion, contrast, sound power and the like",
}
"""What is simple in stimuli and may predict responses without any network."""


def pieces(study: Study) -> str:
    """The parts of the stimulus that have features."""
    return PIECES[study.stimuli.modality]


def rate(study: Study) -> str:
    """What the nuisance feature `word_rate` is of these stimuli."""
    return "word rate" if study.stimuli.modality == "text" else f"rate of {pieces(study)}"

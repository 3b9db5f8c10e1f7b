from __future__ import annotations

import numpy as np
import pytest

from neuroalign.errors import DataError
from neuroalign.stimuli.textgrid import read_textgrid

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 3
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "word"
        xmin = 0
        xmax = 3
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.75
            text = "say"
        intervals [2]:
            xmin = 0.75
            xmax = 1.5
            text = ""
        intervals [3]:
            xmin = 1.5
            xmax = 3
            text = "caf\u00e9"
    item [2]:
        class = "TextTier"
        name = "beats"
        xmin = 0
        xmax = 3
        points: size = 1
        points [1]:
            number = 2.5
            mark = "tap"
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
3
<exists>
2
"IntervalTier"
"word"
0
3
3
0
0.75
"say"
0.75
1.5
""
1.5
3
"caf\u00e9"
"TextTier"
"beats"
0
3
1
2.5
"tap"
"""


@pytest.mark.parametrize("text", [LONG, SHORT], ids=["long", "short"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_both_formats(tmp_path, text, encoding):
    path = tmp_path / "a.TextGrid"
    path.write_text(text, encoding=encoding)
    words = read_textgrid(path, "word")
    assert list(words["word"]) == ["say", "caf\u00e9"]
    np.testing.assert_allclose(words["onset"], [0, 1.5])
    np.testing.assert_allclose(words["duration"], [0.75, 1.5])
    beats = read_textgrid(path, "beats")
    assert list(beats["word"]) == ["tap"]
    assert beats["duration"].isna().all()


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(LONG)
    first = read_textgrid(path, "word")
    first["word"] = "overwritten"
    assert read_textgrid(path, "word")["word"][0] == "say"
    path.write_text(LONG.replace('"say"', '"sang"'))
    assert read_textgrid(path, "word")["word"][0] == "sang"


def test_unknown_tier(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(LONG)
    with pytest.raises(DataError, match=r"no tier 'words'; set stimuli\.tier: did you mean 'word'\?"):
        read_textgrid(path, "words")


@pytest.mark.parametrize("text", ["", "onset\tword\n0\tx\n", LONG[:200], "{}"])
def test_not_a_textgrid(tmp_path, text):
    path = tmp_path / "a.TextGrid"
    path.write_text(text)
    with pytest.raises(DataError, match=r"a\.TextGrid: not a TextGrid that can be read") as caught:
        read_textgrid(path, "word")
    assert "\n" not in str(caught.value)

"""Film: the picture that is on the screen at a moment, in whatever order one asks."""

from __future__ import annotations

import numpy as np
import pytest

from neuroalign.errors import DataError
from neuroalign.stimuli import video
from neuroalign.stimuli.recorded import length_s
from neuroalign.stimuli.video import check_film, read_frames


@pytest.fixture
def shades():
    """Forty grey pictures, each lighter than the one before."""
    return np.stack([np.full((32, 48, 3), 5 * number, np.uint8) for number in range(40)])


@pytest.fixture(params=["film.mp4", "film.avi", "jpegs.avi", "film.mkv"])
def film(request, tmp_path, write_video, shades):
    codec = "mjpeg" if request.param.startswith("jpegs") else "mpeg4"
    return write_video(tmp_path / request.param, shades, codec=codec)


def test_pictures_by_their_time(film, shades, rng):
    assert length_s(film, "video") == pytest.approx(4.0)
    times = rng.permutation(np.arange(0.02, 4.0, 0.05))
    for time, picture in zip(times, read_frames(film, times), strict=True):
        assert picture.shape == (32, 48, 3)
        assert picture.dtype == np.uint8
        # Every picture stands for 0.1 s; neighbours differ by 5.
        assert abs(picture.mean() - 5 * int(time / 0.1)) < 2.0, time


def test_a_picture_begins_exactly_at_its_time_and_the_last_one_stays(film):
    at = [picture.mean() for picture in read_frames(film, [0.0, 0.6, 3.9, 9.0, -1.0])]
    np.testing.assert_allclose(at, [0, 30, 195, 195, 0], atol=2.0)


def test_a_late_picture_does_not_need_all_before_it(tmp_path, write_video):
    uri = write_video(tmp_path / "long.mp4", np.zeros((600, 16, 16, 3), np.uint8))
    film = video._Film(uri)
    decoded = []
    advance = film._advance
    film._advance = lambda: decoded.append(advance())
    film.at(50.0)
    assert len(decoded) < 30


def test_files_that_are_no_films(tmp_path, write_video, write_wav, shades):
    sound = write_wav(tmp_path / "a.wav", np.zeros(800))
    with pytest.raises(
        DataError, match=r"a\.wav: no video stream \(only audio\); expected a file with video"
    ):
        check_film(sound)
    with pytest.raises(DataError, match="no such file"):
        read_frames(str(tmp_path / "gone.mp4"), [0.0])
    (tmp_path / "b.mp4").write_bytes(b"no film")
    with pytest.raises(DataError, match="not sound or video that can be read"):
        check_film(str(tmp_path / "b.mp4"))
    for name in ("c.mp4", "c.avi"):
        path = tmp_path / name
        write_video(path, shades)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with pytest.raises(DataError, match=r"is it whole\?|cut short|not sound or video") as caught:
            check_film(str(path))
        assert "\n" not in str(caught.value)


def test_a_film_whose_index_promises_more_than_there_is(tmp_path, shades):
    import av

    path = tmp_path / "fast.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for picture in shades:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))
    check_film(str(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"cut short|not sound or video"):
        check_film(str(path))

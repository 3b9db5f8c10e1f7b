"""Motion energy of film: gratings that drift as planted, and what a step may know."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from neuroalign.errors import NetworkError
from neuroalign.networks.families import open_network
from neuroalign.networks.handmade import motion_energy as energy
from neuroalign.networks.handmade.motion_energy import RATE_HZ, Step, motion_energy
from neuroalign.settings.features import Handmade
from neuroalign.stimuli.clips import gather_clips
from neuroalign.stimuli.recorded import file_digest

moten = pytest.importorskip("moten", reason="pymoten is not installed")


def grating(direction, cycles, hertz, seconds=2.0, side=96):
    """Pictures (frame, side, side, 3) of a grating that drifts; 0° is to the right, 90° upwards."""
    time = (np.arange(round(seconds * RATE_HZ)) / RATE_HZ)[:, None, None]
    y, x = np.mgrid[:side, :side] / side
    along = x * np.cos(np.deg2rad(direction)) - y * np.sin(np.deg2rad(direction))
    light = 0.5 + 0.4 * np.cos(2 * np.pi * (cycles * along - hertz * time))
    return np.repeat(np.round(light * 255).astype(np.uint8)[..., None], 3, axis=3)


@pytest.mark.parametrize(
    ("direction", "cycles", "hertz"), [(0, 4, 2), (180, 4, 2), (90, 8, 4), (270, 4, 4), (45, 8, 2)]
)
def test_the_filter_of_a_drifting_grating_answers_most(write_video, tmp_path, direction, cycles, hertz):
    uri = write_video(tmp_path / "a.avi", grating(direction, cycles, hertz), rate=RATE_HZ, codec="mjpeg")
    found = motion_energy([Step(uri, 1.0, 2.0)])[0]
    known = energy.filters()
    # Filters without stripes answer to the light itself.
    best = int(np.where(known["spatial_freq"] > 0, found, -np.inf).argmax())
    assert (known["direction"][best], known["spatial_freq"][best]) == (direction, cycles)
    assert known["temporal_freq"][best] == hertz
    alike = (known["spatial_freq"] == cycles) & (known["temporal_freq"] == hertz)
    against = alike & (known["direction"] == (direction + 180) % 360)
    assert found[best] > found[against].max() + 1, "e times as much as against it"


def test_steps_know_nothing_of_what_follows_nor_of_how_they_are_cut(write_video, tmp_path):
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 256, (45, 24, 24, 1), dtype=np.uint8), 3, axis=3)
    other = frames.copy()
    other[30:] = 0
    one, two = (
        write_video(tmp_path / f"{name}.avi", each, rate=RATE_HZ, codec="mjpeg")
        for name, each in (("one", frames), ("two", other))
    )
    steps = [(start / 2, start / 2 + 0.5) for start in range(6)]
    whole = motion_energy([Step(one, *step) for step in steps])
    changed = motion_energy([Step(two, *step) for step in steps])
    np.testing.assert_array_equal(whole[:4], changed[:4])
    assert (np.abs(whole[4:] - changed[4:]).max(axis=1) > 0.1).all()
    alone = np.concatenate([motion_energy([Step(one, *step)]) for step in steps])
    np.testing.assert_allclose(alone, whole, atol=2e-3)


def test_it_is_the_mean_over_what_the_library_says_of_the_film(write_video, tmp_path):
    uri = write_video(tmp_path / "a.avi", grating(0, 4, 2), rate=RATE_HZ, codec="mjpeg")
    whole = energy._energy(uri, range(30))
    found = motion_energy([Step(uri, 1.0, 2.0)])[0]
    np.testing.assert_allclose(found, whole[15 - 4 : 30 - 4].mean(axis=0), atol=1e-3)


def test_as_a_network_beside_motion(write_video, tmp_path):
    uri = write_video(tmp_path / "a.avi", grating(0, 4, 2), rate=RATE_HZ, codec="mjpeg")
    shown = pd.DataFrame({"uri": [uri], "onset": 0.0, "duration": np.nan})
    place = {"subject": "01", "session": "", "task": "see", "run": "run-1"}
    items = gather_clips([shown.assign(**place)], "video", 1.0, file_digest)[0]
    network = open_network(Handmade(features=("motion", "motion_energy")))
    network.check_items(items)
    motion, moved = network.run(network.windows(items)[::-1])
    assert (motion.shape, moved.shape) == ((2, 1), (2, network.units[1]))
    np.testing.assert_allclose(moved[0], motion_energy([Step(uri, 1.0, 2.0)])[0], atol=2e-3)
    assert "pymoten" in network.provenance["versions"]


def test_without_the_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "moten.pyramids", None)
    energy.pyramid.cache_clear()
    with pytest.raises(NetworkError, match=r"needs the package pymoten.*pip install 'neuroalign\[motion\]'"):
        open_network(Handmade(features=("motion_energy",)))

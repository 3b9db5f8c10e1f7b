"""The simulated head: where its electrodes are, and what they see of a dipole inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mne
import numpy as np

MONTAGE = "biosemi64"
"""MNE's standard positions of 64 electrodes of the 10-10 system."""


@dataclass(frozen=True)
class Head:
    """Electrodes, and the sphere about them.

    Attributes
    ----------
    channels : tuple of str
        Names of the electrodes.
    places : array (channel, 3)
        Where they are in metres: MNE's head coordinates, x to the right, y to the front, z up.
    landmarks : dict of array (3,)
        Nasion (NAS) and the points before the ears (LPA, RPA), likewise.
    centre : array (3,)
        Of the sphere.
    radius : float
        Of the sphere, from its centre to the electrodes.
    info : mne.Info
    sphere : mne.bem.ConductorModel
        Brain, cerebrospinal fluid, skull and scalp.
    """

    channels: tuple[str, ...]
    places: np.ndarray
    landmarks: dict[str, np.ndarray]
    centre: np.ndarray
    radius: float
    info: Any
    sphere: Any


def open_head() -> Head:
    """A head with MNE's standard electrodes, and four spheres fitted to them."""
    montage = mne.channels.make_standard_montage(MONTAGE)
    info = mne.create_info(montage.ch_names, 1.0, "eeg", verbose="error")
    info.set_montage(montage, verbose="error")
    sphere = mne.make_sphere_model("auto", "auto", info, verbose="error")
    placed = info.get_montage().get_positions()
    return Head(
        tuple(info.ch_names),
        np.array([channel["loc"][:3] for channel in info["chs"]], float),
        {"NAS": placed["nasion"], "LPA": placed["lpa"], "RPA": placed["rpa"]},
        np.asarray(sphere["r0"], float),
        float(sphere["layers"][-1]["rad"]),
        info,
        sphere,
    )


def fields_of(
    head: Head, directions: np.ndarray, depth: float, tangents: np.ndarray | None = None
) -> np.ndarray:
    """What the electrodes see of dipoles (channel, dipole): the largest of each is 1, their mean 0.

    Potentials are those of MNE's forward solution in the four spheres (Berg & Scherg 1994), against the
    average of all electrodes.

    Parameters
    ----------
    head : Head
    directions : array (dipole, 3)
        From the centre of the sphere to every dipole; of any length.
    depth : float
        How far they are from the centre, in shares of the radius.
    tangents : array (dipole, 3), optional
        Which way they point; away from the centre where left out.
    """
    outwards = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    pointing = outwards if tangents is None else tangents / np.linalg.norm(tangents, axis=1, keepdims=True)
    count = len(outwards)
    dipoles = mne.Dipole(
        times=np.arange(count, dtype=float),
        pos=head.centre + depth * head.radius * outwards,
        amplitude=np.ones(count),
        ori=pointing,
        gof=np.full(count, 100.0),
        verbose="error",
    )
    forward, _ = mne.make_forward_dipole(dipoles, head.sphere, head.info, verbose="error")
    gain = np.asarray(forward["sol"]["data"], float)
    gain -= gain.mean(axis=0)
    return gain / np.abs(gain).max(axis=0)

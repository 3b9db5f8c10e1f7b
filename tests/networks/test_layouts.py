"""Layouts: what an array is, told from its shape, and where its patches lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neuroalign.networks.vision.layouts import layout_of


@pytest.mark.parametrize(
    ("shape", "last", "form", "units", "special", "grid"),
    [
        ((2, 7), False, "vector", 7, 0, (1, 1)),
        ((2, 16, 7), False, "tokens", 7, 0, (4, 4)),
        ((2, 17, 7), False, "tokens", 7, 1, (4, 4)),
        ((2, 21, 7), False, "tokens", 7, 5, (4, 4)),
        ((2, 4, 7), False, "tokens", 7, 0, (2, 2)),  # patches merged two by two
        ((2, 3, 7), False, "tokens", 7, 0, (1, 3)),  # no patches
        ((2, 99, 7), False, "tokens", 7, 0, (1, 99)),
        ((2, 7, 4, 4), True, "map", 7, 0, (4, 4)),  # the shape is believed, not the guess
        ((2, 4, 4, 7), False, "map_last", 7, 0, (4, 4)),
        ((2, 4, 4, 4), False, "map", 4, 0, (4, 4)),
        ((2, 4, 4, 4), True, "map_last", 4, 0, (4, 4)),
    ],
)
def test_recognised_by_shape(shape, last, form, units, special, grid):
    layout = layout_of(shape, 2, (4, 4), square=True, last=last)
    assert (layout.form, layout.units, layout.special, layout.grid) == (form, units, special, grid)
    assert layout.size == np.prod(shape[1:])
    values = torch.arange(np.prod(shape)).view(shape)
    assert layout.tokens(values).shape == (2, special + grid[0] * grid[1], units)
    assert layout.patches(values).shape == (2, len(layout.places), units)
    assert torch.equal(layout.tokens(values).sort()[0].flatten().sort()[0], values.flatten())


@pytest.mark.parametrize("shape", [(3, 7), (2,), (2, 1, 2, 3, 4), (8, 16, 7)])
def test_not_an_array_for_each_image(shape):
    assert layout_of(shape, 2, (4, 4), square=True) is None


def test_rows_and_columns_are_not_mixed_up():
    layout = layout_of((1, 3, 2, 5), 1, None, square=False)
    values = torch.zeros(1, 3, 2, 5)
    values[0, 2, 1, 3] = 1  # unit 2 in the second row, fourth of five columns
    (token,) = np.flatnonzero(layout.patches(values)[0, :, 2])
    np.testing.assert_allclose(layout.places[token], [3.5 / 5, 1.5 / 2])
    assert layout.counted == "2 × 5"
    assert layout_of((1, 4, 4, 2), 1, None, square=False).form == "map"

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from neuroalign import stages
from neuroalign.errors import DataError
from neuroalign.recordings.check import problems


def test_a_header_that_claims_terabytes_is_refused(tree, tmp_path):
    tree.events("01")
    path = tree.volumes("01", "1", np.ones((4, 4, 4, 10), np.float32), mask=np.ones((4, 4, 4)))
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[40:56] = struct.pack("<8h", 4, 32000, 32000, 250, 10, 1, 1, 1)  # dim, of the NIfTI-1 header
    path.write_bytes(gzip.compress(bytes(content)))
    study = tree.study("volume", output=str(tmp_path / "out"))
    assert any(
        "its header promises 10240000000352 bytes, but a file of its size holds no more" in line
        for line in problems(study)
    )
    stages.index(study)
    with pytest.raises(DataError, match="promises 10240000000352 bytes"):
        stages.responses(study, "01")

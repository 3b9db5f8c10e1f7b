"""The battery's own ground: what it damages is well before, and every stage runs on it."""

from __future__ import annotations


def test_the_study_that_is_damaged_is_well(kept_results, run):
    ran = run("check", str(kept_results.path))
    assert ran.status == 0, ran.err
    assert not ran.warned
    assert kept_results.made("group/network-net_encoder-ridge.nc").exists()

"""Frames with faults, restored blind: block means stay within the noise of the true light.

A small set of what `benchmarks/agreement.py` measures on 1,000 frames.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import undark
from agreement import score
from blind import frames
from blind_frames import CASES
from undark.sensor.cfa import RGGB


@pytest.fixture(scope="module")
def scores(shared):
    photos = sorted((shared / "photos" / "val").glob("*.jpg"))[3:5]
    model = undark.load_model("bayer")
    return [score(frame, model) for frame in frames(photos, 2 * len(CASES), RGGB, side=256)]


def test_no_block_disagrees_with_the_measured_light(scores):
    assert {one.case for one in scores} == set(CASES)
    assert not any(one.after for one in scores)
    assert sum(one.before for one in scores) <= 1


def test_blocks_agree_with_the_light_without_noise(scores):
    """Hot pixels that are taken for stars, and bands, are the exceptions; none is far off."""
    clear = [one for one in scores if one.case not in ("hot", "bands", "mixed")]
    assert max(one.worst for one in clear) < 5
    blocks = sum(one.blocks for one in scores)
    assert sum(one.from_truth[1] for one in scores) < 0.005 * blocks

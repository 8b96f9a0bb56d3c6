"""Colour arithmetic: there and back, grey stays grey, one function for NumPy and torch."""

import numpy as np
import pytest

from undark.develop.colour import (
    CAMERA_MATRICES,
    camera_from_srgb,
    decode_rec709,
    decode_srgb,
    encode_rec709,
    encode_srgb,
    srgb_from_camera,
)


@pytest.mark.parametrize("matrix", CAMERA_MATRICES)
def test_there_and_back_keeps_grey(matrix):
    there, back = camera_from_srgb(matrix), srgb_from_camera(matrix)
    np.testing.assert_allclose(back @ there, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(there.sum(axis=1), 1)
    np.testing.assert_allclose(back @ np.ones(3), 1)


@pytest.mark.parametrize(
    "matrix", [np.zeros((3, 3)), np.ones((3, 3)), -np.eye(3), np.full((3, 3), np.nan)]
)
def test_matrices_that_are_none(matrix):
    with pytest.raises(ValueError, match="matrix"):
        camera_from_srgb(matrix)


def test_curve_at_known_points():
    # IEC 61966-2-1: 18 % grey is level 118 of 255; the two parts meet at 0.0031308
    assert round(float(encode_srgb(np.array(0.18))) * 255) == 118
    assert encode_srgb(np.array([0.0, 1.0])) == pytest.approx([0, 1])
    assert encode_srgb(np.array(0.0031308)) == pytest.approx(0.04045, abs=1e-5)
    assert encode_srgb(np.array([-1.0, 7.0])) == pytest.approx([0, 1])


@pytest.mark.parametrize(
    ("encode", "decode"), [(encode_srgb, decode_srgb), (encode_rec709, decode_rec709)]
)
def test_curve_there_and_back(encode, decode):
    levels = np.arange(1025) / 1024
    np.testing.assert_allclose(encode(decode(levels)), levels, atol=1e-6)


def test_torch_agrees_with_numpy():
    torch = pytest.importorskip("torch")
    light = np.linspace(-0.1, 1.1, 100, dtype=np.float32)
    theirs = encode_srgb(torch.from_numpy(light)).numpy()
    np.testing.assert_allclose(encode_srgb(light), theirs, atol=1e-6)

"""Restoring RAW photos with models that only demosaic: results that must be exact."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import undark
from undark.develop.colour import CAMERA_MATRICES, camera_from_srgb
from undark.develop.demosaic import demosaic
from undark.engine.tiling import AREA, place, tiles
from undark.errors import UnsupportedError
from undark.files.picture import open_picture
from undark.restoring import bands, raw
from undark.sensor.cfa import BAYER_ORDERS, RGGB, X_TRANS, pack, unpack
from undark.sensor.conditioning import HIGHLIGHT_CEILING, condition, scale
from undark.sensor.exposure import Exposure
from undark.sensor.hot import Mended
from undark.sensor.mosaic import Mosaic
from undark.sensor.noise import NoiseModel

phases = st.sampled_from([*BAYER_ORDERS, *(X_TRANS.crop(y, x) for y in range(6) for x in range(6))])
NOISE = NoiseModel(gain=2.0, read=3.0)


@pytest.fixture(scope="module", autouse=True)
def only_the_model():
    """No mending, bound or correction, which random light would set going; they have tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw, "mend", lambda mosaic, *_: Mended(mosaic, np.empty(0, np.intp)))
        patch.setattr(bands, "bound", lambda output, *_: output)
        patch.setattr(bands, "correct", lambda *_: None)
        yield


class Plain:
    """A model that demosaics its input and records it."""

    path, area = None, AREA

    def __init__(self, cfa):
        self.cfa = RGGB if cfa.period == 2 else X_TRANS
        kind, channels = ("Bayer", 8) if cfa.period == 2 else ("X-Trans", 18)
        card = undark.load_model().card
        self.card = replace(card, cfa=kind, channels=channels, multiple=4, halo=4, rim=0)
        self.given = []

    def __call__(self, inputs):
        self.given.append(inputs)
        planes = inputs[0, : inputs.shape[1] // 2]
        shape = tuple(n * self.cfa.cell for n in planes.shape[1:])
        light = demosaic(unpack(planes, self.cfa, shape), self.cfa)
        return np.ascontiguousarray(np.moveaxis(light, -1, 0))[None]


def photo(cfa, size, seed=0, most=16383):
    """Random DN, some below black, with a different black level at each position."""
    random = np.random.default_rng(seed)
    return Mosaic(
        plane=random.integers(400, most, size).astype(np.uint16),
        cfa=cfa,
        black=random.integers(450, 560, cfa.pattern.shape).astype(np.float32),
        white=16383.0,
        white_balance=np.array([2.125, 1, 1.5], np.float32),
    )


@settings(deadline=None, max_examples=60)
@given(
    cfa=phases,
    size=st.tuples(st.integers(7, 90), st.integers(7, 90)),
    amplification=st.sampled_from([0.5, 3.9, 30.0]),
    tile=st.sampled_from([8, 12, 768]),
    most=st.sampled_from([1500, 16383]),
    seed=st.integers(0, 99),
)
def test_a_model_that_demosaics_gives_the_demosaiced_photo(
    cfa, size, amplification, tile, most, seed
):
    """No pixel is moved, lost or doubled: at borders, between tiles, in light sources."""
    dark = photo(cfa, size, seed, most)
    shares = []
    made = undark.restore(
        dark,
        exposure=amplification,
        noise=NOISE,
        model=Plain(cfa),
        tile=tile,
        progress=shares.append,
    )
    expected = made.blend(0).linear  # demosaiced at once, with no model
    np.testing.assert_allclose(made.linear, expected, rtol=1e-4, atol=1e-4)
    assert (made.exposure, made.noise) == (Exposure(amplification, "as given"), NOISE)
    assert made.noise_source == "as given"
    assert shares == pytest.approx([(n + 1) / len(shares) for n in range(len(shares))])


@settings(deadline=None)
@given(phases, st.tuples(*[st.integers(-100, 9000)] * 3), st.sampled_from([1.0, 40.0]))
def test_plain_light_is_amplified_and_balanced(cfa, counts, amplification):
    """A flat colour in DN above black comes out as DN · balance · amplification / span."""
    dark = photo(cfa, (20, 23))
    rows, columns = np.indices(dark.shape) % cfa.period
    plane = dark.black[rows, columns] + np.array(counts)[cfa.pattern[rows, columns]]
    dark = dark.replace(plane=plane.astype(np.uint16))
    light = undark.restore(dark, exposure=amplification, noise=NOISE, model=Plain(cfa), strength=0)
    expected = np.array(counts) * dark.white_balance * amplification / dark.span
    np.testing.assert_allclose(light.linear, np.broadcast_to(expected, (20, 23, 3)), rtol=1e-4)


def test_the_models_input_has_noise_maps_and_no_light_sources():
    dark = photo(RGGB, (32, 48))
    model = Plain(RGGB)
    undark.restore(dark, exposure=30.0, noise=NOISE, model=model)
    (inputs,) = model.given
    planes = pack(dark.signal(), RGGB)
    gains = np.array([2.125, 1, 1, 1.5], np.float32)[:, None, None] * np.float32(30 / dark.span)
    light = planes * gains
    assert (light > 5).any()
    assert (light < -0.01).any()  # stays: clipped, noise would brighten the shadows
    np.testing.assert_allclose(inputs[0, :4], np.minimum(light, 4), rtol=1e-5)
    np.testing.assert_allclose(inputs[0, 4:], NOISE.sigma(planes) * gains, rtol=1e-5)
    assert inputs.dtype == np.float32


def test_a_batch_is_conditioned_like_its_members():
    """Each photo of the batch has another camera, white balance and amplification."""
    signal = np.random.default_rng(0).normal(300, 400, (3, 12, 18)).astype(np.float32)
    balance = np.array([[2, 1, 1.5], [1.8, 1, 2.2], [1, 1, 1]], np.float32)
    amplification = np.array([10, 100, 300], np.float32)
    values = np.array([[2, 3, 1, 0.5], [0.4, 1, 0, 0], [6, 8, 3, 1]], np.float32)
    for cfa in (RGGB, X_TRANS):
        factor = scale(cfa, balance, 9000.0, amplification, signal)
        gain, read, row, bias = (v[:, None, None] for v in values.T)
        batch = condition(signal, cfa, NoiseModel(gain, read, row=row, bias=bias), factor)
        for i, (gain, read, row, bias) in enumerate(values):
            alone = scale(cfa, balance[i], 9000.0, amplification[i], signal)
            noise = NoiseModel(gain, read, row=row, bias=bias)
            one = condition(signal[i], cfa, noise, alone)
            np.testing.assert_allclose(batch[i], one, rtol=1e-5)
            assert one[: len(one) // 2].max() <= HIGHLIGHT_CEILING


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    multiple=st.integers(1, 8),
    halo=st.integers(0, 4),
    side=st.integers(1, 20),
)
def test_tiles_have_their_halo_and_one_size(size, multiple, halo, side):
    height, width = (n * multiple for n in size)
    plan = [*chain(*tiles(height, width, multiple, halo * multiple, side * multiple))]
    for axis, length in enumerate((height, width)):
        for tile in plan:
            outer, inner = tile.outer[axis], tile.inner[axis]
            assert outer.start <= max(0, inner.start - halo * multiple)
            assert outer.stop >= min(length, inner.stop + halo * multiple)
            assert outer.start + tile.margins[axis] == inner.start
            assert outer.stop - tile.margins[axis + 2] == inner.stop
        assert len({tile.outer[axis].stop - tile.outer[axis].start for tile in plan}) == 1


@given(st.integers(-7, 12), st.integers(-7, 12))
def test_a_tile_is_put_in_its_place_and_cut_at_the_border(top, left):
    frame = np.full((10, 12, 3), -1, np.float32)
    part = np.random.default_rng(0).random((3, 7, 8), np.float32)
    around = np.full((30, 30, 3), -1, np.float32)
    around[9 + top : 16 + top, 9 + left : 17 + left] = np.moveaxis(part, 0, -1)
    if -7 < top < 10 and -8 < left < 12:
        place(frame, part, top, left)
        np.testing.assert_array_equal(frame, around[9:19, 9:21])


@pytest.fixture(scope="module")
def restored():
    dark = photo(RGGB, (61, 83), most=900)
    return undark.restore(dark, exposure=20.0, noise=NOISE, model=Plain(RGGB))


@pytest.mark.parametrize(("name", "bits"), [("a.png", 8), ("a.tif", 8), ("a.png", 16)])
def test_what_is_saved_is_the_picture(restored, tmp_path, name, bits):
    path = restored.save(tmp_path / name, bits=bits)
    saved = open_picture(path).levels
    np.testing.assert_array_equal(saved, restored.picture(bits))
    assert saved.dtype == (np.uint8 if bits == 8 else np.uint16)


def test_pictures_have_eight_bits_if_nothing_is_said(restored, tmp_path):
    assert restored.picture().dtype == np.uint8
    assert open_picture(restored.save(tmp_path / "a.png")).levels.dtype == np.uint8


@settings(deadline=None, max_examples=10)
@given(st.floats(0, 1))
def test_strength_is_the_share_of_the_model(strength):
    class Grey(Plain):
        def __call__(self, inputs):
            return np.full_like(super().__call__(inputs), 0.3)

    dark = photo(RGGB, (20, 30), most=900)
    none, some, whole = (
        undark.restore(dark, exposure=20.0, noise=NOISE, model=Grey(RGGB), strength=s).linear
        for s in (0, strength, 1)
    )
    np.testing.assert_allclose(some, none + strength * (whole - none), atol=1e-5)


def test_each_model_is_for_its_own_cfa():
    bayer, x_trans = photo(RGGB, (24, 24)), photo(X_TRANS, (24, 24))
    with pytest.raises(UnsupportedError, match="is X-Trans, the model bayer restores Bayer"):
        undark.restore(x_trans, model=Plain(RGGB))
    with pytest.raises(UnsupportedError, match="is Bayer, the model bayer restores X-Trans"):
        undark.restore(bayer, model=Plain(X_TRANS))
    finished = Plain(RGGB)
    finished.card = replace(finished.card, task="picture to picture")
    with pytest.raises(UnsupportedError, match="restores finished pictures, not RAW photos"):
        undark.restore(bayer, model=finished)


def test_a_model_of_srgb_gives_camera_colours():
    """Its colours are converted to camera RGB, so that the renderer shows them unchanged."""

    class Orange(Plain):
        def __call__(self, inputs):
            shape = super().__call__(inputs).shape
            colour = np.array([0.5, 0.3, 0.1], np.float32)
            return np.broadcast_to(colour[:, None, None], shape[1:])[None]

    model = Orange(RGGB)
    model.card = replace(model.card, task="mosaic to linear sRGB")
    dark = photo(RGGB, (20, 30), most=900)
    dark = dark.replace(camera_from_xyz=CAMERA_MATRICES[0].astype(np.float32))
    made = undark.restore(dark, exposure=20.0, noise=NOISE, model=model).linear
    expected = camera_from_srgb(CAMERA_MATRICES[0]) @ [0.5, 0.3, 0.1]
    np.testing.assert_allclose(made, np.broadcast_to(expected, made.shape), rtol=1e-4)

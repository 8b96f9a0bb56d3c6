import numpy as np
import pytest

pytest.importorskip("torch")

from networks import CONFIGS, ONE_SCALE, exported, random_network
from undark.engine.backends.onnxruntime import OnnxRuntime, ort
from undark.engine.card import MARGINS, read_card
from undark.engine.catalogue import find_model, shipped_models
from undark.engine.tiling import cut, inner_light
from undark.learn.cropping import rims_of
from undark.learn.network import UNetConfig


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_inner_part_is_the_same_without_the_margins(tmp_path, config):
    path = exported(tmp_path, random_network(config))
    card, backend = read_card(path), OnnxRuntime(path)
    down, across = (3 * card.halo + 4 * card.multiple + n * card.multiple for n in (0, 2))
    inputs = np.random.default_rng(0).random((1, card.channels, down, across), np.float32)
    whole = backend.run(inputs)
    assert whole.shape == (1, 3, down * card.cell, across * card.cell)
    for sides in ((1, 1, 1, 1), (0, 1, 1, 0), (1, 0, 2, 1)):
        margins = tuple(side * card.halo for side in sides)
        inner = cut(whole, margins, card.cell)
        found = inner_light(card, backend.run, inputs, margins)
        np.testing.assert_array_equal(found, inner)
        computed = backend.run(inputs, margins)
        rims = (margins[0] > 0) + (margins[2] > 0)
        assert computed.shape[2] == inner.shape[2] + card.cell * card.rim * rims < whole.shape[2]


def test_each_scale_keeps_what_its_convolutions_reach():
    """At the finest scale 3 convolutions, made even; then 2 and half of 4 pixels."""
    assert rims_of(UNetConfig(decoder=(1, 1, 1))) == (4, 4, 4)
    assert rims_of(UNetConfig(decoder=(2, 2, 2))) == (6, 8, 8)
    assert rims_of(UNetConfig(widths=(64,), encoder=(8,), decoder=())) == ()


def test_a_network_of_one_scale_has_no_margins_to_leave_out(tmp_path):
    path = exported(tmp_path, random_network(ONE_SCALE))
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert read_card(path).rim == 0
    assert [i.name for i in session.get_overridable_initializers()] == []


@pytest.mark.parametrize("name", [*shipped_models()])
def test_the_shipped_models_leave_margins_out(name):
    path = find_model(name)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["input"]
    assert [i.name for i in session.get_overridable_initializers()] == [MARGINS]
    assert read_card(path).rim >= 3

"""The card of a model: there and back, and every field that cannot be is refused."""

import json
from dataclasses import asdict

import pytest

import undark
from undark.engine.card import Card

GOOD = {
    "name": "mine",
    "task": "mosaic to linear RGB",
    "cfa": "Bayer",
    "channels": 8,
    "multiple": 8,
    "halo": 24,
    "conditioning": "",
    "licence": "Apache-2.0",
    "training": {"steps": 3},
    "scores": {"x100": 31.5},
}


def test_a_card_comes_back_as_it_was():
    for card in (undark.load_model().card, Card(**GOOD)):
        assert Card.from_json(card.to_json()) == card
        assert json.loads(card.to_json()) == asdict(card)


@pytest.mark.parametrize(
    "right",
    [
        {"task": "mosaic to linear sRGB"},
        {"task": "picture to picture", "cfa": "none", "channels": 6},
        {"cfa": "X-Trans", "channels": 18},
        {"multiple": 1, "halo": 0},
        {"halo": 0},
        {"multiple": 256, "halo": 2048},  # the most there may be
    ],
)
def test_cards_that_can_be(right):
    assert Card.from_json(json.dumps(GOOD | right)).to_json()


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "mosaic to poetry"},
        {"channels": 4},
        {"channels": 9},
        {"multiple": 8.0},
        {"halo": 24.0},
        {"multiple": 1, "halo": 2049},
        {"multiple": 257, "halo": 257},
        {"halo": "24"},
        {"multiple": 0},
        {"multiple": -8},
        {"halo": -8},
        {"halo": 20},
        {"multiple": 7},
    ],
)
def test_cards_that_cannot_be(wrong):
    with pytest.raises((ValueError, TypeError)):
        Card.from_json(json.dumps(GOOD | wrong))


@pytest.mark.parametrize("missing", GOOD)
def test_a_card_with_a_field_missing(missing):
    rest = {name: value for name, value in GOOD.items() if name != missing}
    with pytest.raises(KeyError, match=missing):
        Card.from_json(json.dumps(rest))

"""A Bayer model as a package of darktable 5.6's neural restore, "raw denoise".

darktable gives a network four packed planes, (DN - black) / (white - black) times a white balance,
without amplification and without a noise map, and takes camera RGB of twice the size in the same
unit, of which it keeps each pixel's own colour. The graph made here scales the planes, derives a
noise map from them (`noise_map`), and passes light sources by the network as
`restoring.frame.Frame` does. The package is a ZIP archive of a manifest and the network.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from undark.engine.card import TASK, Card, read_card
from undark.errors import ModelError, UnsupportedError
from undark.export.graph import Graph, Value, model_of
from undark.export.noise_map import BLOCK, add_noise_map
from undark.files.output import atomic_output

SUFFIX = ".dtmodel"
TILE = 512
"""Packed pixels of a tile's side: darktable gives every tile this size."""
VERSION = "1.0"
"""Of the package; darktable tells updates by it."""
_CEILING = 40.0
"""Light above this multiple of the tile's middle tone passes by the network: that of
`sensor.conditioning.HIGHLIGHT_CEILING` over that of `sensor.exposure.MIDDLE_LEVEL`."""
_ABOVE_NOISE = 50.0
"""The ceiling is at least this multiple of the mean noise, below which light is not clean."""
_TINY = 1e-12
_MEMBER_TIME = (2026, 1, 1, 0, 0, 0)
"""The same for every member, so that the same model gives the same bytes."""


def write_package(model: Path, out: Path, overwrite: bool = False, tile: int = TILE) -> Path:
    """Write a model as `out`, whose name is the package's identifier and `.dtmodel`.

    Raises `ModelError` for a file that is no undark model, `UnsupportedError` for one that
    darktable cannot use, `ValueError` for a name that no identifier can be, `ExistsError`,
    `OutputError`.
    """
    card = read_card(model)
    check_usable(card)
    check_identifier(out)
    content = package(model, card, out.stem, tile)
    with atomic_output(out, overwrite) as temporary:
        temporary.write_bytes(content)
    return out


def default_name(card: Card) -> str:
    """The name of the package's file."""
    plain = re.sub(r"[^a-z0-9]+", "-", card.name.lower()).strip("-") or "model"
    return f"rawdenoise-undark-{plain}{SUFFIX}"


def check_identifier(out: Path) -> None:
    """Raises `ValueError` where darktable would refuse the package for its file's name."""
    if out.suffix != SUFFIX or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", out.stem):
        raise ValueError(
            f"{out.name}: darktable takes the model's identifier from the name: letters, digits, "
            f"- and _, then {SUFFIX}"
        )


def check_usable(card: Card) -> None:
    """Raises `UnsupportedError` for a model of another sensor or of other colours."""
    if card.task != TASK or card.cfa != "Bayer":
        raise UnsupportedError(
            f"darktable cannot run the model {card.name} ({card.task}): it takes models from a "
            "Bayer mosaic to linear camera RGB, as bayer and bayer-fast are"
        )


def package(model: Path, card: Card, identifier: str, tile: int = TILE) -> bytes:
    """The archive: one folder, named as the model, with `config.json` and `model_bayer.onnx`."""
    members = {
        "config.json": (json.dumps(manifest(card, identifier, tile), indent=2) + "\n").encode(),
        "model_bayer.onnx": network(model, tile).SerializeToString(),
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            info = zipfile.ZipInfo(f"{identifier}/{name}", _MEMBER_TIME)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            file.writestr(info, content)
    return archive.getvalue()


def manifest(card: Card, identifier: str, tile: int = TILE) -> dict[str, Any]:
    """What darktable reads before it loads the network."""
    data = card.training.get("data")
    return {
        "id": identifier,
        "name": f"raw denoise undark {card.name}",
        "description": "undark's network for extremely dark RAW photos (Bayer sensors)",
        "task": "rawdenoise",
        "arch": "unet",
        "backend": "onnx",
        "version": VERSION,
        "tiling": True,
        "model_card": {
            "long_description": "A U-Net without biases that denoises and demosaics packed Bayer "
            "planes. The noise is estimated from each tile by the graph itself.",
            "scope": "raw image denoising of very dark photos",
            "author": "the undark project",
            "license": card.licence,
            "training_data": data if isinstance(data, str) else "as the model's own card says",
            "notes": "X-Trans and other sensors are not covered. Hot pixels, offsets of rows and "
            "errors of the black level are not corrected, as undark itself does.",
        },
        "attributes": {
            "model_bayer": {
                "input_sizes": [tile],
                "input_kind": "bayer_v1",
                "bayer_orientation": "force_rggb",
                "edge_pad": "mirror_cropped",
                "wb_norm": "as_shot",
                "output_scale": "absolute",
            },
        },
    }


def network(model: Path, tile: int = TILE) -> onnx.ModelProto:
    """(1, 4, tile, tile) packed planes → (1, 3, 2·tile, 2·tile) camera RGB in the same unit.

    The planes are red, the greens beside red and beside blue, and blue. `tile` is a multiple of the
    network's, and of the noise map's block. Raises `ModelError` for a network of other inputs.
    """
    if tile % BLOCK or tile < 4 * BLOCK:
        raise ValueError(f"tile is a multiple of {BLOCK} from {4 * BLOCK} on, not {tile}")
    graph = Graph("undark_")
    given = graph.value("input")
    unit = given.at_least(0.0).mean(1, 2, 3) + _TINY
    planes = given / unit
    sigma = add_noise_map(graph, planes, tile)
    ceiling = _ceiling(planes, sigma, tile)
    conditioned = graph.node("Concat", planes.at_most(ceiling), sigma, axis=1)
    restored = _joined(graph, model, conditioned)
    light = restored + _spread(graph, (planes - ceiling).at_least(0.0))
    graph.name(light * unit, "output")
    inputs, outputs = (1, 4, tile, tile), (1, 3, 2 * tile, 2 * tile)
    return model_of(graph, {"input": inputs}, {"output": outputs}, "undark for darktable")


def _ceiling(planes: Value, sigma: Value, tile: int) -> Value:
    """(1, 1, 1, 1): the light from which it passes by the network."""
    blocks = planes.block_means(BLOCK).quantile(0.5, (tile // BLOCK) ** 2).mean(1)
    return (blocks * _CEILING).at_least(sigma.mean(1, 2, 3) * _ABOVE_NOISE)


def _spread(graph: Graph, planes: Value) -> Value:
    """(1, 4, h, w) → (1, 3, 2 h, 2 w): each pixel's own colour is that of the planes, the other
    colours are those of the same cell."""
    red, upper, lower, blue = (planes.sliced(1, n, n + 1) for n in range(4))
    green = (upper + lower) * 0.5
    cells = [v for g in (green, upper, lower, green) for v in (red, g, blue)]
    stacked = graph.node("Concat", *cells, axis=1)
    return graph.node("DepthToSpace", stacked, blocksize=2, mode="DCR")


def _joined(graph: Graph, model: Path, conditioned: Value) -> Value:
    """Add the nodes of a model's network to the graph; its output."""
    inner = onnx.load(model).graph
    known = {constant.name for constant in inner.initializer}  # the margins: none
    needed = [i.name for i in inner.input if i.name not in known]
    if needed != ["input"] or [o.name for o in inner.output] != ["output"]:
        raise ModelError(f"{model}: its network has other inputs than undark's; export another")
    names = {"input": conditioned.name, "output": "network_output"}
    for node in inner.node:
        inputs = [names.get(n, n) for n in node.input]
        outputs = [names.get(n, n) for n in node.output]
        copied = helper.make_node(node.op_type, inputs, outputs, name=node.name)
        copied.attribute.extend(node.attribute)
        graph.nodes.append(copied)
    graph.constants.extend(inner.initializer)
    return graph.value(names["output"])

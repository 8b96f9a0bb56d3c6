"""Ship a trained model: add it to the package, and the record of its training to `models/`.

    python scripts/ship.py RUN [--name bayer]

RUN is the --out folder of `undark train photos`. Writes `src/undark/engine/weights/NAME.onnx`,
which `undark train --from NAME` starts from, with the training photos' licences in the card, and
`models/NAME/training.json`.
"""

import argparse
import json
from pathlib import Path

import torch

from undark.learn.export import load_weights, make_card, start_from, to_onnx
from undark.learn.network import UNet, UNetConfig

ROOT = Path(__file__).parent.parent
DATA = (
    "from the wallpaper collections of Budgie (CC0-1.0), elementary (Unsplash and Pexels licences, "
    "CC0), Solus (public domain, CC0, CC BY, CC BY-SA), Pop!_OS (Unsplash), Ubuntu MATE "
    "(CC BY-SA 4.0, CC0) and Project Trident (Pexels licence), at most 1536 pixels wide, and "
    "environment maps of Poly Haven (CC0)"
)
"""Sources of the training photographs, with their licences."""
PRIVATE = ("data_folder",)
"""Fields of a record that describe the machine of the training."""
BITS = ((200_000, 1), (100_000, 2), (10_000, 4), (0, 6))
"""Bits of a weight after the leading one, of the 10 that fp16 has, in tensors of more weights than
so many. Compressed, as in a wheel and in the history, a model is half as large. The large tensors,
of the coarse scales, hardly need any: for X-Trans, PSNR of pictures fell by 0.002 to 0.022 dB. On
held-back photographs the fast Bayer model lost 0.01 to 0.02 dB, the fast X-Trans one nothing."""


def rounded(weight: torch.Tensor) -> torch.Tensor:
    """The weight rounded to `BITS` after its leading one."""
    bits = next(bits for more_than, bits in BITS if weight.numel() > more_than)
    mantissa, exponent = torch.frexp(weight)  # mantissa in [0.5, 1)
    scale = 2.0 ** (bits + 1)
    return torch.ldexp((mantissa * scale).round() / scale, exponent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", default="bayer")
    asked = parser.parse_args()
    record = json.loads((asked.run / "training.json").read_text())
    record = {k: v for k, v in record.items() if k not in PRIVATE}
    record |= {"data": f"{len(record['photographs'])} photographs {DATA}"}
    network = UNet(UNetConfig.from_dict(record["network"]))
    start_from(network, asked.run / "model.safetensors")
    target = ROOT / "src/undark/engine/weights" / f"{asked.name}.onnx"
    shipped = load_weights(target) if target.exists() else {}
    with torch.no_grad():
        for name, weight in network.named_parameters():
            # what was not trained further stays bit for bit: the history has it already
            known = shipped.get(name)
            if known is None or known.shape != weight.shape or not torch.equal(known, weight):
                weight.copy_(rounded(weight))
    home = ROOT / "models" / asked.name
    home.mkdir(parents=True, exist_ok=True)
    (home / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    shown = {k: v for k, v in record.items() if k != "photographs"}
    card = make_card(network, shown, asked.name)
    target.write_bytes(to_onnx(network, card))
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

"""Write the shipped models again, as today's export writes a network: weights and cards stay.

    python scripts/export_again.py

For when `undark.learn.export` makes a better graph of the same network.
"""

import json
from pathlib import Path

from undark.engine.card import read_card
from undark.files.provenance import digest_of
from undark.learn.export import config_of, start_from, to_onnx
from undark.learn.network import UNet
from undark.restoring.confidence import SUFFIX

WEIGHTS = Path(__file__).parent.parent / "src/undark/engine/weights"


def main() -> None:
    for path in sorted(WEIGHTS.glob("*.onnx")):
        config = config_of(path)
        assert config, f"{path}: its card has no network"
        network = UNet(config)
        start_from(network, path)
        path.write_bytes(to_onnx(network, read_card(path)))
        law = path.with_suffix(SUFFIX)
        if law.exists():
            known = json.loads(law.read_text())
            law.write_text(json.dumps(known | {"model": digest_of(path)}, indent=1) + "\n")
        print(path)


if __name__ == "__main__":
    main()

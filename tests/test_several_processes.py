"""Two processes that share each step end with the weights of a single process."""

import os
import runpy
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")

from undark.learn import export, train  # noqa: E402
from undark.learn.export import load_weights  # noqa: E402

# every process keeps the weights that it judges at the end
RUN = """
import os, sys
from pathlib import Path
from safetensors.torch import save_file
from undark.learn import train
from undark.learn.from_photos import train_photos
from undark.learn.network import UNetConfig
from undark.learn.options import Training

judge = train.judge

def keep_and_judge(network, course):
    save_file(network.state_dict(), sys.argv[2] + os.environ.get("RANK", ""))
    return judge(network, course)

train.judge = keep_and_judge
train.bf16_is_faster = lambda: False  # in bfloat16 half batches round otherwise
network = UNetConfig(widths=(8, 12), encoder=(0, 1), decoder=(1,))
train_photos(Training(
    Path(sys.argv[1]), Path(sys.argv[2] + ".run"), steps=4, crop=32, batch=4,
    devices=int(os.environ.get("WORLD_SIZE", 1)), network=network,
))
"""


def test_two_processes_are_as_one(tmp_path, monkeypatch):
    photo = np.random.default_rng(0).integers(20, 235, (12, 16, 3), np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo.repeat(16, 0).repeat(16, 1)).save(tmp_path / "photos" / "a.png")
    (tmp_path / "run.py").write_text(RUN)
    alone_in_this_process(tmp_path, monkeypatch)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *torchrun, "run.py", "photos", "two-"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    one, first, second = (load_weights(tmp_path / name) for name in ("one", "two-0", "two-1"))
    assert all(torch.equal(first[k], second[k]) for k in one)
    # gradients are added in another order; the four steps moved weights by 1e-4 and more
    assert all(torch.allclose(first[k], one[k], atol=1e-6) for k in one)
    assert (tmp_path / "two-.run" / "model.onnx").exists()


def alone_in_this_process(folder, monkeypatch):
    """Run run.py, whose weights are compared; it imports what is imported here already."""
    with monkeypatch.context() as patch:
        for name in ("judge", "bf16_is_faster"):  # which it replaces
            patch.setattr(train, name, getattr(train, name))
        patch.setattr(export, "to_onnx", lambda network, card: b"")
        patch.setattr(sys, "argv", ["run.py", "photos", "one"])
        patch.chdir(folder)
        runpy.run_path("run.py", run_name="__main__")

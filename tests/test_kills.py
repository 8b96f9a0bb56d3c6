"""A training that is killed repeatedly ends with the weights of an uninterrupted one."""

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")
event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from undark.learn.export import load_weights  # noqa: E402

KILLS, STEPS = 10, 100

# torch is imported once, and a child forked for each life of the training; those that are killed
# save their state after every step, and a kill comes anywhere between two savings or within one.
# Weights are compared, not their ONNX, whose exporter would take longer than all lives.
RUN = f"""
import os, random, signal, sys, time
from datetime import timedelta
from pathlib import Path
import torch
from undark.learn import checkpoints, export
from undark.learn.from_photos import train_photos
from undark.learn.network import UNetConfig
from undark.learn.options import Training

torch.set_num_threads(1)
export.to_onnx = lambda network, card: b""
network = UNetConfig(widths=(8, 12), encoder=(0, 1), decoder=(1,))

def life(out, every=checkpoints.EVERY):
    child = os.fork()
    if not child:
        checkpoints.EVERY = every
        resume = (out / checkpoints.LAST).exists()
        train_photos(Training(
            Path("photos"), out, steps={STEPS}, crop=16, batch=2, network=network, resume=resume
        ))
        os._exit(0)
    return child

def ended(child):
    return os.waitpid(child, 0)[1]

assert ended(life(Path("uninterrupted"))) == 0
killed = Path("killed")
random.seed(0)
def saved():
    last = killed / checkpoints.LAST
    return last.stat().st_mtime if last.exists() else 0

def state():
    return torch.load(killed / checkpoints.LAST, weights_only=True)["global_step"]

def saved_after(moment):
    while (now := saved()) <= moment:
        time.sleep(0.002)
    return now

reached = 0
for _ in range({KILLS}):
    began = saved()
    child = life(killed, timedelta(seconds=1e-3))
    first = saved_after(began)
    pause = saved_after(first) - first
    time.sleep(random.uniform(0, pause))
    os.kill(child, signal.SIGKILL)
    ended(child)
    before, reached = reached, state()
    print(before, reached)
    assert before < reached < {STEPS}
assert ended(life(killed)) == 0
"""


def curve(run):
    """Step → loss, the last life's where steps were taken twice."""
    log = event_accumulator.EventAccumulator(str(run / "log")).Reload()
    return {event.step: event.value for event in log.Scalars("loss")}


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_ten_kills(tmp_path):
    photo = np.random.default_rng(0).integers(20, 235, (12, 16, 3), np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo.repeat(16, 0).repeat(16, 1)).save(tmp_path / "photos" / "a.png")
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    runs = tmp_path / "uninterrupted", tmp_path / "killed"
    uninterrupted, killed = (load_weights(run / "model.safetensors") for run in runs)
    assert all(
        torch.allclose(uninterrupted[name], killed[name], atol=1e-6) for name in uninterrupted
    )
    assert curve(runs[1]) == pytest.approx(curve(runs[0]), abs=1e-5)
    assert not list(runs[1].glob(".undark-*"))

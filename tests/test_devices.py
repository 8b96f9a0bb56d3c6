"""Training on a GPU, without one: every operation's tensors are on one device."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")

from torch._subclasses.fake_tensor import (  # noqa: E402
    DataDependentOutputException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from undark.learn import from_photos, train  # noqa: E402
from undark.learn.aims import psnr  # noqa: E402
from undark.learn.data.batches import Batch  # noqa: E402
from undark.learn.export import measured_halo  # noqa: E402
from undark.learn.kind import BAYER  # noqa: E402
from undark.learn.loss import photo_loss  # noqa: E402
from undark.learn.network import UNet, UNetConfig  # noqa: E402
from undark.learn.options import Training  # noqa: E402
from undark.learn.task import TrainingPlan, judge  # noqa: E402
from undark.sensor import noise  # noqa: E402

SMALL = UNetConfig(widths=(8, 12), encoder=(0, 1), decoder=(1,))
MOVES = {"aten::_to_copy", "aten::copy_"}


class OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of several devices; single numbers may be anywhere.

    FakeTensorMode alone lets a convolution of weights on the CPU with an input on a GPU pass.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor) and t.ndim]
        devices = {tensor.device.type for tensor in tensors}
        name = func.name().split(".")[0]
        if len(devices) > 1 and name not in MOVES:
            raise AssertionError(f"{name} of tensors on {sorted(devices)}")
        return func(*args, **(kwargs or {}))


def batch():
    return Batch(
        torch.rand(2, 8, 16, 16),
        torch.rand(2, 3, 32, 32),
        torch.eye(3).repeat(2, 1, 1),
        torch.ones(2),
        BAYER,
    )


class Found:
    """Scores: fake tensors have no values."""

    def cpu(self):
        return self

    def tolist(self):
        return [0.0]


def network_on(device):
    with torch.device(device):
        return UNet(SMALL)


def plan_of(batches):
    return TrainingPlan(
        None, BAYER, {"held": batches}, photo_loss, "photo", psnr, "", "photographs", [], [], 1, ""
    )


def test_the_mode_sees_a_convolution_across_devices():
    with FakeTensorMode(), OneDevice(), pytest.raises(AssertionError, match="convolution"):
        UNet(SMALL)(torch.rand(2, 8, 16, 16, device="cuda"))


def test_a_step_on_a_gpu():
    with FakeTensorMode(), OneDevice():
        network = network_on("cuda")
        loss = photo_loss(network, batch().to("cuda"))  # its gradients would need CUDA itself
        assert loss.device.type == "cuda"


def test_the_halo_is_measured_where_the_network_is():
    """To the comparison of values, which fake tensors have not."""
    with FakeTensorMode(), OneDevice(), pytest.raises(DataDependentOutputException):
        measured_halo(network_on("cuda"))


@pytest.mark.parametrize(("network_at", "batch_at"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_batches_follow_the_network_to_be_judged(network_at, batch_at):
    """While training the network is on the GPU, after Lightning's teardown on the CPU."""
    seen = []

    def score(output, target):
        seen.append((output.device.type, target.device.type))
        return Found()

    with FakeTensorMode(), OneDevice():
        network = network_on(network_at)
        held = batch().to(batch_at)
        plan = plan_of([held])
        object.__setattr__(plan, "score", score)
        judge(network, plan)
    assert seen == [(network_at, network_at)]


def test_crops_become_batches_where_they_are(tmp_path, monkeypatch):
    """Exposure, noise and conditioning on a GPU; its generator is replaced, as there is none."""
    from undark.learn.data import exposing
    from undark.learn.data.photos import PhotoFiles, PhotoSamples

    path = tmp_path / "a.png"
    Image.fromarray(np.full((80, 80, 3), 90, np.uint8)).save(path)
    samples = PhotoSamples(PhotoFiles([path]), crop=16)
    monkeypatch.setattr(exposing, "TorchSampler", FakeSampler)
    monkeypatch.setattr(noise, "tukey_lambda", deviates)
    crops = samples.join([samples.sample(0, n) for n in range(24)])
    with FakeTensorMode(allow_non_fake_inputs=True), OneDevice():
        made = crops.to("cuda").prepare()
    devices = {t.device.type for t in (made.inputs, made.target, made.srgb, made.saturation)}
    assert devices == {"cuda"}


def deviates(uniform, shape):
    """NumPy computes their scale, from numbers in main memory."""
    assert shape.device.type == "cpu"
    return uniform


class FakeSampler:
    def __init__(self, *seeds, device):
        self.device = device

    def poisson(self, rate):
        return rate * 1

    def normal(self, shape):
        return torch.zeros(shape, device=self.device)

    uniform = normal

    def only(self, photos):
        return self


def test_network_and_batches_agree_after_training(tmp_path, monkeypatch):
    """A spy on every judging: before training with --from, and after Lightning's teardown."""
    seen = []

    def spy(network, plan):
        def score(output, target):
            seen.append(output.device == target.device == next(network.parameters()).device)
            return psnr(output, target)

        object.__setattr__(plan, "score", score)
        return judge(network, plan)

    monkeypatch.setattr(train, "judge", spy)
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(np.full((80, 80, 3), 90, np.uint8)).save(photos / "a.png")
    fit = partial(Training, photos, steps=1, crop=16, batch=2, network=SMALL)
    first = from_photos.train_photos(fit(out=tmp_path / "a"))
    from_photos.train_photos(fit(out=tmp_path / "b", start=first.model))
    assert len(seen) == 3 * len(from_photos.VAL_RATIOS)
    assert all(seen)

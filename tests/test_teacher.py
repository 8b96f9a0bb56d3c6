"""Learning from a larger network."""

import json

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="torch comes with undark[train]")

from networks import CONFIGS, exported, random_network  # noqa: E402
from undark.engine.card import TASK  # noqa: E402
from undark.errors import TrainingError  # noqa: E402
from undark.learn.data.batches import make_batch  # noqa: E402
from undark.learn.data.photos import PhotoFiles, PhotoSamples  # noqa: E402
from undark.learn.export import start_from  # noqa: E402
from undark.learn.from_photos import photo_plan, train_photos  # noqa: E402
from undark.learn.kind import BAYER, XTRANS  # noqa: E402
from undark.learn.loss import photo_loss  # noqa: E402
from undark.learn.network import UNet, UNetConfig, init_network  # noqa: E402
from undark.learn.options import Training  # noqa: E402
from undark.learn.record import start_of  # noqa: E402
from undark.learn.teacher import SHARE, Teacher, taught  # noqa: E402

SMALL = UNetConfig(widths=(8,), encoder=(1,), decoder=())


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(2):
        levels = np.random.default_rng(seed).integers(20, 235, (12, 16, 3)).astype(np.uint8)
        Image.fromarray(levels.repeat(16, 0).repeat(16, 1)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture
def batch(photos):
    return make_batch(PhotoSamples(PhotoFiles(sorted(photos.iterdir())), 32), 0, range(2))


def test_the_target_is_between_the_truth_and_the_teacher(batch, tmp_path):
    network = random_network(CONFIGS["Bayer"])
    target = Teacher(exported(tmp_path, network), BAYER, TASK).target(batch).target
    with torch.no_grad():
        expected = (1 - SHARE) * batch.target + SHARE * network(batch.inputs)
    assert torch.allclose(target, expected, atol=1e-5)
    assert not target.requires_grad


def test_the_student_alone_is_trained(batch, tmp_path):
    teacher = Teacher(exported(tmp_path, random_network(CONFIGS["Bayer"])), BAYER, TASK)
    student = random_network(SMALL)
    taught(photo_loss, teacher)(student, batch).backward()
    assert all(weight.grad is not None for weight in student.parameters())
    assert all(weight.grad is None for weight in teacher._network.parameters())


def test_a_student_comes_closer_to_its_teacher(photos, batch, tmp_path, request):
    """One that gives 0.7 of the light, which no photograph says."""
    network = init_network(CONFIGS["Bayer"], 0)  # only demosaics
    with torch.no_grad():
        network.demosaic.weight *= 0.7
        restored = network(batch.inputs)

    def trained(out, teacher):
        """How far the student is from the teacher, and its record."""
        fields = {"steps": 40, "crop": 32, "batch": 2, "network": SMALL, "teacher": teacher}
        fields["peak"] = 0.02
        train_photos(Training(photos, tmp_path / out, **fields), BAYER)
        student = UNet(SMALL)
        start_from(student, tmp_path / out / "model.safetensors")
        with torch.no_grad():
            distance = (student(batch.inputs) - restored).square().mean()
        return float(distance), json.loads((tmp_path / out / "training.json").read_text())

    path = exported(tmp_path, network)
    request.getfixturevalue("without_onnx")
    alone, of_none = trained("alone", None)
    taught_one, record = trained("taught", path)
    assert taught_one < 0.5 * alone
    assert of_none["settings"]["teacher"] is None
    assert record["settings"]["teacher"] == start_of(path)


def test_a_teacher_for_other_photos_is_refused(photos, tmp_path):
    path = exported(tmp_path, random_network(CONFIGS["Bayer"]))
    training = Training(photos, tmp_path / "run", steps=1, crop=32, teacher=path)
    with pytest.raises(TrainingError, match=r"model.onnx: not a model for.*X-Trans.*--teacher"):
        photo_plan(training.for_kind(XTRANS), {})


def test_the_command_line(photos, tmp_path, run):
    path = exported(tmp_path, random_network(CONFIGS["picture"]))
    asked = ["--out", tmp_path / "run", "--steps", "1", "--crop", "32", "--teacher", path]
    status, _, said = run("train", "photos", photos, *asked)
    assert status == 2
    assert said.count("--teacher") == 1

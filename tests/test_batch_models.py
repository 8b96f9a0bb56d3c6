"""Which models the photos of a batch get, and when they are loaded."""

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from undark.demo import photograph
from undark.engine import catalogue
from undark.errors import ModelError, UnsupportedError
from undark.files.dng import write_mosaic
from undark.restoring import jobs
from undark.restoring import models as models_of_batch
from undark.restoring.jobs import Failed, Options, Restored, Skipped, plan, run
from undark.restoring.models import Models
from undark.sensor.cfa import RGGB, X_TRANS


@pytest.fixture
def photo(tmp_path):
    """A dark photo, in a file."""
    light = np.full((64, 96, 3), 0.2, np.float32)
    write_mosaic(tmp_path / "a.dng", photograph(light, 1600, 100))
    return tmp_path / "a.dng"


@pytest.fixture
def loaded(monkeypatch):
    """The names of the models that are loaded; none is."""
    names, one = [], SimpleNamespace(fell_back=False)

    def load_model(name, device):
        names.append(name)
        return one

    monkeypatch.setattr(models_of_batch, "load_model", load_model)
    return names


def test_the_model_is_chosen_by_the_sensor(make_mosaic, loaded):
    models = Models(None, "best", "auto")
    for cfa in (RGGB, X_TRANS, RGGB):
        models.for_photo(make_mosaic(cfa))
    assert loaded == ["bayer", "xtrans"]


def test_the_fast_models_are_chosen_by_quality(make_mosaic, loaded):
    models = Models(None, "fast", "auto")
    for cfa in (RGGB, X_TRANS):
        models.for_photo(make_mosaic(cfa))
    assert loaded == ["bayer-fast", "xtrans-fast"]


def test_a_sensor_that_no_model_is_for(make_mosaic, monkeypatch):
    bayer = {"bayer": catalogue.find_model("bayer")}
    monkeypatch.setattr(catalogue, "shipped_models", lambda: bayer)
    with pytest.raises(UnsupportedError, match=r"X-Trans.*train one.*--model"):
        Models(None, "best", "auto").for_photo(make_mosaic(X_TRANS))


@pytest.mark.parametrize(
    ("name", "model"),
    [("a.dng", "bayer"), ("a.ARW", "bayer"), ("a.RAF", "xtrans"), ("a.jpg", "picture")],
)
def test_the_likely_model_is_loaded_once(name, model, loaded):
    models = Models(None, "best", "auto")
    models.expect(Path(name))
    models.of(model)  # waits for it
    models.expect(Path("b.jpg"))
    assert loaded == [model]


def test_the_model_is_loaded_while_the_first_photo_is_read(photo, monkeypatch):
    loading, load, read = threading.Event(), models_of_batch.load_model, jobs.read_mosaic

    def load_model(name, device):
        loading.set()
        return load(name, device)

    def read_mosaic(path):
        assert loading.wait(30)
        return read(path)

    monkeypatch.setattr(models_of_batch, "load_model", load_model)
    monkeypatch.setattr(jobs, "read_mosaic", read_mosaic)
    batch = plan([photo])
    assert isinstance([*run(batch, Options())][-1], Restored)
    loading.clear()
    assert isinstance([*run(batch, Options())][-1], Skipped)  # done already: no model is needed
    assert not loading.is_set()


def test_a_model_that_does_not_load_fails_where_it_is_needed(photo, tmp_path, monkeypatch):
    def load_model(name, device):
        raise ModelError("no weights")

    monkeypatch.setattr(models_of_batch, "load_model", load_model)
    broken = tmp_path / "b.dng"
    broken.write_bytes(b"no photo")
    [_, failed] = run(plan([broken]), Options())
    assert isinstance(failed, Failed)
    assert "no weights" not in failed.reason
    with pytest.raises(ModelError, match="no weights"):
        [*run(plan([photo]), Options())]

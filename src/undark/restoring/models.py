"""The models that the photos of a batch share."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread

from undark.engine.card import PICTURE_TASK
from undark.engine.catalogue import FAST, NO_CFA, choose
from undark.engine.model import Model, load_model
from undark.files.picture import Picture, is_picture
from undark.sensor.kind import BAYER_KIND, X_TRANS_KIND, SensorKind
from undark.sensor.mosaic import Mosaic

_OF_X_TRANS = ".raf"
"""Suffix of Fujifilm's files: most of its cameras have X-Trans."""


class Models:
    """The model of each sensor kind, loaded when first needed."""

    def __init__(self, name: str | None, quality: str, device: str) -> None:
        """Raises `ModelError`, `DeviceError` for a named model that cannot be used."""
        self._name, self._quality, self._device = name, quality, device
        self._loaded: dict[str, Model] = {}
        self._loading = Lock()
        if name is not None:  # an unknown name stops the run before any work
            self.of(name)

    def of(self, name: str) -> Model:
        """The model of this name. Raises `ModelError`, `DeviceError`."""
        with self._loading:
            if name not in self._loaded:
                failed = any(model.fell_back for model in self._loaded.values())
                self._loaded[name] = load_model(name, "cpu" if failed else self._device)
            return self._loaded[name]

    def expect(self, source: Path) -> None:
        """Begin to load, in a thread, the model that a run's first photo most likely needs.

        Called before the photo is read, which takes one core. What goes wrong is raised when the
        model is asked for.
        """
        if not self._loaded:
            Thread(target=self._load_likely, args=(source,)).start()

    def _load_likely(self, source: Path) -> None:
        with suppress(Exception):
            self.of(self._likely(source))

    def _likely(self, source: Path) -> str:
        """By the suffix: the model is needed before the file is known."""
        if is_picture(source):
            return self._shipped_for(None)
        return self._shipped_for(
            X_TRANS_KIND if source.suffix.lower() == _OF_X_TRANS else BAYER_KIND
        )

    def for_photo(self, photo: Mosaic | Picture) -> Model:
        """The named model, or the shipped one of the photo's sensor; `restore` checks that it fits.

        Raises `UnsupportedError`, `ModelError`, `DeviceError`.
        """
        if self._name is not None:
            return self.of(self._name)
        return self.of(self._shipped_for(photo.cfa.kind if isinstance(photo, Mosaic) else None))

    def guide_for(self, frame: Mosaic) -> Model:
        """The fast shipped model, with which bursts are merged. Raises as `for_photo` does."""
        return self.of(choose(frame.cfa.kind.name, quality=FAST))

    def _shipped_for(self, kind: SensorKind | None) -> str:
        """Of a sensor kind; None: of pictures. Raises `UnsupportedError`."""
        return choose(kind.name, quality=self._quality) if kind else choose(NO_CFA, PICTURE_TASK)

    @property
    def of_pictures(self) -> bool:
        """Whether the named model restores pictures."""
        return self._name is not None and self.of(self._name).card.task == PICTURE_TASK

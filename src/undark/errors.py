"""The exception tree. Every message is one line for the user: what, where, what to do.

UndarkError
├── PhotoError            one photo fails; the others can be done
│   ├── ReadError         missing, empty, damaged or not a RAW file
│   ├── UnsupportedError  a RAW file, but not of a kind that undark restores
│   ├── PairError         two photos that do not form a pair
│   ├── ExistsError       the output exists already
│   └── NameTooLongError  the output's name is longer than the disk allows
└── SetupError            no photo can be done: the run stops
    ├── ModelError        unknown model, or a file that is not an undark model
    │   └── EngineFailedError  an engine other than the CPU's failed; the CPU may do it
    ├── DeviceError       no such device on this machine or in this installation
    ├── OutputError       the output cannot be written: read-only, disk full
    ├── DarkFrameError    dark frames that fit no photo, or are not dark
    ├── ClusterError      a Ray cluster that does not answer, or has no machine for the work
    ├── DataError         a folder of pairs, or a data set, without what is needed of it
    └── TrainingError     training cannot start or continue
"""

from __future__ import annotations

from pathlib import Path


class UndarkError(Exception):
    """Base of all errors that undark raises; `str(error)` is shown to the user."""


class PhotoError(UndarkError):
    """One photo fails; the others can be done."""


class ReadError(PhotoError):
    """A file is missing, empty, damaged or not a RAW photo."""


class UnsupportedError(PhotoError):
    """A RAW photo of a kind that undark cannot restore (yet)."""


class PairError(PhotoError):
    """Two photos that do not form a pair; `verdict` is the short reason for a table."""

    def __init__(self, message: str, verdict: str) -> None:
        super().__init__(message)
        self.verdict = verdict


class ExistsError(PhotoError):
    """The output file exists and overwriting was not asked for."""


class NameTooLongError(PhotoError):
    """The name of the output is longer than the disk allows."""


class SetupError(UndarkError):
    """The run cannot continue."""


class ModelError(SetupError):
    """An unknown model, or a file that is not an undark model."""


class EngineFailedError(ModelError):
    """A device or an engine failed while it ran a model; ONNX Runtime on the CPU may run it."""


class DeviceError(SetupError):
    """A device that this machine or installation does not have."""


class OutputError(SetupError):
    """The output cannot be written."""


class DarkFrameError(SetupError):
    """Dark frames that fit no photo, cannot be read or are not dark."""


class ClusterError(SetupError):
    """A Ray cluster that does not answer, or none of whose machines can do the work."""


class DataError(SetupError):
    """A folder of pairs, or a data set, without what is needed of it."""


class TrainingError(SetupError):
    """Training cannot start or continue."""


def naming(error: UndarkError, *photos: Path) -> str:
    """The message; prefixed with the first of these photos if it names none of them."""
    said = str(error)
    return said if any(str(photo) in said for photo in photos) else f"{photos[0]}: {said}"

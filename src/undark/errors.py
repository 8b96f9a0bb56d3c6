"""What can go wrong, as one tree. Every message is one line for the user: what, where, what to do.

UndarkError
├── PhotoError            this photo cannot be done; the others can
│   ├── ReadError         missing, empty, damaged or not a RAW file
│   ├── UnsupportedError  a RAW file, but not of a kind that undark restores
│   ├── PairError         two photos that are no pair
│   ├── ExistsError       the output is there already
│   └── NameTooLongError  the output's name is more than the disk allows
└── SetupError            nothing can be done until this is mended: the run stops
    ├── ModelError        unknown model, or a file that is not an undark model
    ├── DeviceError       no such device on this machine or in this installation
    ├── OutputError       the output cannot be written: read-only, disk full
    ├── DataError         a folder of pairs, or a data set, without what is needed of it
    └── TrainingError     training cannot start or go on
"""

from __future__ import annotations

from pathlib import Path


class UndarkError(Exception):
    """Base of all errors that undark raises on purpose; `str(error)` is meant to be shown."""


class PhotoError(UndarkError):
    """One photo cannot be done."""


class ReadError(PhotoError):
    """A file is missing, empty, damaged or not a RAW photo."""


class UnsupportedError(PhotoError):
    """A RAW photo of a kind that undark cannot restore (yet)."""


class PairError(PhotoError):
    """Two photos that are no pair; `verdict` says why in a few words, for a table."""

    def __init__(self, message: str, verdict: str) -> None:
        super().__init__(message)
        self.verdict = verdict


class ExistsError(PhotoError):
    """The output file exists and overwriting was not asked for."""


class NameTooLongError(PhotoError):
    """The name of the output is longer than the disk allows."""


class SetupError(UndarkError):
    """The run as a whole cannot go on."""


class ModelError(SetupError):
    """An unknown model, or a file that is not one of ours."""


class DeviceError(SetupError):
    """A device that this machine or this installation lacks."""


class OutputError(SetupError):
    """The output cannot be written."""


class DataError(SetupError):
    """A folder of pairs, or a data set, without what is needed of it."""


class TrainingError(SetupError):
    """Training cannot start or go on."""


def naming(error: UndarkError, *photos: Path) -> str:
    """What the error says, with the first of these photos before it where it names none of them."""
    said = str(error)
    return said if any(str(photo) in said for photo in photos) else f"{photos[0]}: {said}"

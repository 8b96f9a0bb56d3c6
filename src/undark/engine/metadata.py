"""The metadata of an ONNX file, read without a runtime: the weights are not loaded.

An ONNX file is one protocol buffer, `ModelProto`; its `metadata_props` are field 14, each an entry
with a key (field 1) and a value (field 2). See onnx.proto3 and the encoding of protocol buffers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

_METADATA, _KEY, _VALUE = 14, 1, 2
_SIZES = {1: 8, 5: 4}
"""Wire type of a fixed-size field → its bytes. 0 is a varint, 2 a length and as many bytes."""
_MOST = 1 << 24
"""Bytes of an entry."""


def read_metadata(path: Path) -> dict[str, str]:
    """Key → value. Raises `OSError`, and `ValueError` where the file is no protocol buffer."""
    found = {}
    with path.open("rb") as file:
        for entry in _fields(file, _METADATA):
            parts = {
                number: next(_fields(BytesIO(entry), number), b"") for number in (_KEY, _VALUE)
            }
            found[parts[_KEY].decode()] = parts[_VALUE].decode()
    return found


def _fields(file: BinaryIO, wanted: int) -> Iterator[bytes]:
    """The contents of a message's fields with a given number; others are skipped."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    while file.tell() < end:
        number, wire = divmod(_varint(file), 8)
        if wire == 0:
            _varint(file)
            continue
        if wire != 2 and wire not in _SIZES:
            raise ValueError("not a protocol buffer")
        length = _varint(file) if wire == 2 else _SIZES[wire]
        if length > end - file.tell():
            raise ValueError("cut short")
        if number == wanted and wire == 2 and length <= _MOST:
            yield file.read(length)
        else:
            file.seek(length, os.SEEK_CUR)


def _varint(file: BinaryIO) -> int:
    """A number of 7 bits a byte, lowest first."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("not a protocol buffer")

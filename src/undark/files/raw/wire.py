"""Messages between undark and its RAW workers: pickles, with the pixels sent beside them.

A message is a count, that many lengths, and as many blocks: the pickle, then the memory of each
array in it (pickle protocol 5, out of band), which is read straight into its place. Pipes need no
name, have no size limit and leave nothing behind when a process is killed, unlike shared memory.
"""

from __future__ import annotations

import os
import pickle
import struct
from typing import Any

_LENGTH = struct.Struct("<Q")


def send(fd: int, message: object) -> None:
    """Write a message to a pipe. Raises `OSError` if the other end is closed."""
    arrays: list[pickle.PickleBuffer] = []
    data = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
    blocks = [memoryview(data), *(array.raw() for array in arrays)]
    numbers = [len(blocks), *(block.nbytes for block in blocks)]
    _write(fd, memoryview(b"".join(_LENGTH.pack(n) for n in numbers)))
    for block in blocks:
        _write(fd, block)


def receive(fd: int) -> Any:
    """Read a message from a pipe. Raises `EOFError` where the other end has closed it."""
    count = _number(_read(fd, _LENGTH.size))
    lengths = [_number(_read(fd, _LENGTH.size)) for _ in range(count)]
    data, *arrays = [_read(fd, length) for length in lengths]
    return pickle.loads(data, buffers=arrays)


def _number(data: bytearray) -> int:
    number: int = _LENGTH.unpack(data)[0]
    return number


def _write(fd: int, block: memoryview) -> None:
    while block.nbytes:
        block = block[os.write(fd, block) :]


def _read(fd: int, length: int) -> bytearray:
    block = bytearray(length)
    rest = memoryview(block)
    with open(fd, "rb", buffering=0, closefd=False) as pipe:
        while rest.nbytes:
            read = pipe.readinto(rest)
            if not read:
                raise EOFError("the other end of the pipe was closed")
            rest = rest[read:]
    return block

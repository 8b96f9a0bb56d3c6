"""Device selection, and settings of the machine that make training faster."""

from __future__ import annotations

import time
from functools import cache

import torch


def choose_device(name: str) -> torch.device:
    """The device of a name; "auto": a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def convolve_exactly() -> None:
    """Switch TF32 convolutions off: its mantissa has 10 bits, a photo has 14."""
    torch.backends.cudnn.allow_tf32 = False


@cache
def bf16_is_faster() -> bool:
    """Whether this CPU convolves faster in bfloat16 than in float32; measured by a short trial.

    The CPU's flags do not tell: with the same avx512_bf16, an AMD EPYC was 1.6 times as fast in
    bfloat16, an Intel Xeon without AMX 0.7 times.
    """
    x, weight = torch.randn(1, 64, 64, 64), torch.randn(64, 64, 3, 3)

    def seconds(dtype: torch.dtype) -> float:
        a, w = (t.to(dtype, memory_format=torch.channels_last) for t in (x, weight))
        began = time.perf_counter()
        torch.nn.functional.conv2d(a, w, padding=1)
        return time.perf_counter() - began

    # alternating, so that other load affects both
    rounds = [(seconds(torch.bfloat16), seconds(torch.float32)) for _ in range(12)]
    half, full = (min(times) for times in zip(*rounds, strict=True))
    return half < 0.9 * full

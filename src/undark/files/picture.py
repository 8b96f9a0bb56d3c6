"""RGB pictures on disk."""
from pathlib import Path
import numpy as np
from numpy.typing import NDArray
import OpenImageIO as oiio


def read_picture(path: Path) -> NDArray[np.uint8]:
    buf = oiio.ImageBuf(str(path))
    return np.ascontiguousarray(buf.get_pixels(oiio.UINT8)[..., :3])

"""From the bytes of an image file to pixels, with a limit on their number."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from poa_mm.errors import UserError

EXTENSIONS = ('.bmp', '.gif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')
# Decoded 0.4 GB, in every worker: a larger image more likely has a wrong or hostile header than a use.
MAX_PIXELS = 2**27


def check_pixels(file: str | Path | io.BytesIO) -> None:
    """Read the header of an image, which takes microseconds, and refuse one that is too large to decode.

    A header that PIL does not know is left to the decoder.

    Raises:
        UserError: If the image has more than :data:`MAX_PIXELS` pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with Image.open(file) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise UserError(f'the image is too large to decode: {error}') from None
    except (OSError, SyntaxError, ValueError):
        return
    if width * height > MAX_PIXELS:
        raise UserError(f'the image has {width} x {height} pixels, more than the limit of {MAX_PIXELS:,}')


def decode(content: bytes) -> np.ndarray:
    """Pixels (H, W, 3) uint8 BGR of an encoded image; of several frames the first, without transparency.

    Raises:
        UserError: If it has more than :data:`MAX_PIXELS` pixels or is not an image.
    """
    check_pixels(io.BytesIO(content))
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if image is None:  # formats that this OpenCV was built without
        image = _decode_with_pil(content)
    return image


def _decode_with_pil(content: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.ascontiguousarray(np.asarray(image.convert('RGB'))[..., ::-1])
    except Exception as error:  # every format of PIL has its own
        raise UserError('it is not an image of a known format, or it is damaged') from error

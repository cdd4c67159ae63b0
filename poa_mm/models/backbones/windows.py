"""Windows of a feature map: cutting, joining, positions inside, and which positions may see each other."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def partition_windows(x: Tensor, window_size: int, shift: int) -> Tensor:
    """Maps ``(N, H, W, D)`` to windows ``(N, windows, window_size ** 2, D)``.

    The map is padded with zeros at the right and at the bottom, then rolled by ``shift`` to the top left.
    """
    x = F.pad(x, (0, 0, 0, -x.shape[2] % window_size, 0, -x.shape[1] % window_size))
    if shift:
        x = x.roll((-shift, -shift), dims=(1, 2))
    x = x.unflatten(2, (-1, window_size)).unflatten(1, (-1, window_size))  # N, rows, s, columns, s, D
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def merge_windows(x: Tensor, height: int, width: int, window_size: int, shift: int) -> Tensor:
    """The inverse of :func:`partition_windows`: back to ``(N, height, width, D)``."""
    rows = -(-height // window_size)
    x = x.unflatten(2, (window_size, window_size)).unflatten(1, (rows, -1))
    x = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)
    if shift:
        x = x.roll((shift, shift), dims=(1, 2))
    return x[:, :height, :width]


def relative_position_index(window_size: int) -> Tensor:
    """Row of the bias table for every pair of positions in a window, ``(window_size ** 2, window_size ** 2)``."""
    side = torch.arange(window_size)
    place = ((2 * window_size - 1) * side[:, None] + side).flatten()
    return place[:, None] - place + 2 * window_size * (window_size - 1)


@lru_cache(maxsize=64)
def shift_mask(
    height: int, width: int, window_size: int, shift: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """What to add to the attention in windows of a rolled map, ``(windows, 1, area, area)``.

    Rolling brings positions of opposite borders into one window; they get -100, as in every published Swin.
    Padding is not masked.
    """
    with torch.inference_mode(False):  # the first caller may be an evaluation, the next one trains
        rows, columns = (-(-side // window_size) * window_size for side in (height, width))
        region = [
            (place >= len(place) - window_size).int() + (place >= len(place) - shift).int()
            for place in (torch.arange(side, device=device) for side in (rows, columns))
        ]
        region = (3 * region[0][:, None] + region[1])[None, :, :, None]
        region = partition_windows(region, window_size, 0)[0, :, :, 0]  # windows, area
        differs = region[:, None, :, None] != region[:, None, None, :]
        return torch.zeros(differs.shape, dtype=dtype, device=device).masked_fill(differs, -100.0)

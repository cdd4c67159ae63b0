"""Images with patches hidden or tiles shuffled (Naseer et al., "Intriguing properties of vision transformers")."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def orders(index: Tensor, tiles: int, seed: int) -> Tensor:
    """A random order of the tiles for each image (N, tiles), a pure function of the seed and the index."""
    drawn = [np.random.default_rng((seed, tiles, int(i))).permutation(tiles) for i in index]
    return torch.from_numpy(np.stack(drawn)).to(index.device)


def occlude(images: Tensor, ratio: float, order: Tensor) -> Tensor:
    """Hide a share of the patches: zeros, which are the mean colour of normalised images.

    The patches of a smaller share are among those of a larger one.

    Args:
        images: Normalised images (N, C, S, S).
        ratio: Share that is hidden, 0 to 1.
        order: Order in which patches are hidden (N, P), P being a square number whose root divides S.
    """
    tiles = order.shape[1]
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(tiles, device=order.device).expand_as(order))
    kept = _side(rank >= round(ratio * tiles))
    repeat = images.shape[-1] // kept.shape[-1]
    kept = kept.repeat_interleave(repeat, 1).repeat_interleave(repeat, 2)
    return images * kept[:, None]


def shuffle(images: Tensor, order: Tensor, grid: tuple[int, int]) -> Tensor:
    """Cut images (N, C, S, S) into tiles and join them in another order, tile ``i`` being ``order[i]``.

    Args:
        images: The images.
        order: A permutation of the tiles for each image (N, rows * columns).
        grid: Rows and columns of tiles; both divide S.
    """
    n, channels, size, _ = images.shape
    rows, columns = grid
    height, width = size // rows, size // columns
    tiles = images.view(n, channels, rows, height, columns, width).transpose(3, 4).flatten(2, 3)
    tiles = tiles[torch.arange(n, device=order.device)[:, None], :, order]  # N, T, C, h, w
    tiles = tiles.view(n, rows, columns, channels, height, width)
    return tiles.permute(0, 3, 1, 4, 2, 5).reshape(images.shape)


def _side(flags: Tensor) -> Tensor:
    grid = round(flags.shape[1] ** 0.5)
    return flags.view(-1, grid, grid)


def divisors(size: int, largest: int = 14) -> list[int]:
    """Numbers of tiles along a side that cut an image evenly, up to ``largest``."""
    return [grid for grid in range(1, largest + 1) if size % grid == 0]

"""Masks of networks whose map shrinks from stage to stage."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from poa_mm.errors import UserError


@dataclass(frozen=True)
class MaskCells:
    """Mask cells that are coarser than the stem's map and finer than the last one.

    A mask is spread over the stem's map, and a token of the last map over its cells, both by repetition.

    Args:
        stem_stride: Pixels of a position of the stem's map.
        stride: Pixels of a mask cell.
        last_stride: Pixels of a position of the last map.

    Raises:
        UserError: If a cell is not a whole number of stem positions, or a last position not a whole number of cells.
    """

    stem_stride: int
    stride: int
    last_stride: int

    def __post_init__(self) -> None:
        if self.stride < 1 or self.stride % self.stem_stride or self.last_stride % self.stride:
            raise UserError(
                f'mask_stride must be a multiple of {self.stem_stride} and divide {self.last_stride}, got {self.stride}'
            )

    def spread_masks(self, masks: Tensor, height: int, width: int) -> Tensor:
        """Masks of cells ``(N, P)`` to masks of the stem's map ``(N, height, width)``.

        Raises:
            UserError: If the cells do not cover the map, or the last map does not cover the cells.
        """
        cell, last = self.stride // self.stem_stride, self.last_stride // self.stem_stride
        rows, columns = height // cell, width // cell
        if height % last or width % last or masks.shape[1] != rows * columns:
            raise UserError(
                f'masked images must be multiples of {self.last_stride} pixels with one mask cell for every '
                f'{self.stride} x {self.stride}; got a stem of {height} x {width} and {masks.shape[1]} cells'
            )
        return _repeat(masks.unflatten(1, (rows, columns)), cell)

    def spread_features(self, x: Tensor) -> Tensor:
        """The last map ``(N, H, W, D)`` to the features of all cells ``(N, P, D)``, row by row."""
        return _repeat(x, self.last_stride // self.stride).flatten(1, 2)


def _repeat(x: Tensor, times: int) -> Tensor:
    """``(N, H, W, ...) -> (N, H * times, W * times, ...)``, nearest neighbours."""
    if times == 1:
        return x
    n, height, width, *rest = x.shape
    x = x[:, :, None, :, None].expand(n, height, times, width, times, *rest)
    return x.reshape(n, height * times, width * times, *rest)

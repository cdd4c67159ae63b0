"""Random block masks over the patches of global crops (POA, sec. 3.2; BEiT, sec. 2.2)."""

import math

import numpy as np

from poa_mm.errors import UserError


def block_mask(
    grid: tuple[int, int],
    num_masked: int,
    rng: np.random.Generator,
    min_patches: int = 4,
    min_aspect: float = 0.3,
) -> np.ndarray:
    """A mask made of rectangles.

    Rectangles are added until the count is reached. One is lower and narrower than the grid, adds at most the
    remaining count and at most half the grid, and gets ten tries to fit; then the mask is left as it is, so it may
    hold fewer patches than asked for.

    Args:
        grid: Rows and columns of patches.
        num_masked: Patches to mask.
        rng: All randomness comes from it.
        min_patches: Smallest area of a rectangle, as long as more than that remain.
        min_aspect: Smallest height over width of a rectangle; its inverse is the largest.

    Returns:
        Boolean array of shape ``grid``, True where masked.
    """
    rows, columns = grid
    mask = np.zeros(grid, dtype=bool)
    log_aspect = math.log(min_aspect)
    remaining = num_masked
    while remaining > 0:
        limit = min(remaining, rows * columns // 2)
        for _ in range(10):
            area = rng.uniform(*sorted((min_patches, limit)))
            aspect = math.exp(rng.uniform(log_aspect, -log_aspect))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if not (0 < h < rows and 0 < w < columns):
                continue
            top, left = rng.integers(rows - h + 1), rng.integers(columns - w + 1)
            block = mask[top : top + h, left : left + w]
            added = block.size - int(block.sum())
            if 0 < added <= limit:
                block[:] = True
                remaining -= added
                break
        else:
            break
    return mask


def batch_masks(
    num_crops: int,
    grid: tuple[int, int],
    ratio: tuple[float, float],
    mask_probability: float,
    rng: np.random.Generator,
    min_patches: int = 4,
    min_aspect: float = 0.3,
) -> np.ndarray:
    """Masks of all global crops of a batch.

    A fixed share of the crops is masked. Their ratios are spread evenly: the range is cut into as many
    steps as crops are masked, with one draw inside each step; then the masks are shuffled over the
    batch.

    Args:
        num_crops: Crops in the batch.
        grid: Rows and columns of patches.
        ratio: Smallest and largest share of masked patches of a masked crop.
        mask_probability: Share of the crops that are masked.
        rng: All randomness comes from it.
        min_patches: See :func:`block_mask`.
        min_aspect: See :func:`block_mask`.

    Returns:
        Boolean array (num_crops, rows * columns), row-major, True where masked.

    Raises:
        UserError: If a value is out of range.
    """
    rows, columns = grid
    if rows < 1 or columns < 1:
        raise UserError(f'grid {tuple(grid)} must be at least one row and one column.')
    if not 0 <= ratio[0] <= ratio[1] <= 1:
        raise UserError(f'mask ratio {tuple(ratio)} must be two rising values between 0 and 1.')
    if not 0 <= mask_probability <= 1:
        raise UserError(f'mask_probability {mask_probability} must be between 0 and 1.')
    if not 0 < min_aspect <= 1 or min_patches < 1:
        raise UserError(f'min_aspect {min_aspect} must be in (0, 1], min_patches {min_patches} at least 1.')
    num_masked = int(num_crops * mask_probability)
    masks = np.zeros((num_crops, rows, columns), dtype=bool)
    steps = np.linspace(*ratio, num_masked + 1)
    for mask, low, high in zip(masks, steps[:-1], steps[1:]):
        count = int(rows * columns * rng.uniform(low, high))
        mask[:] = block_mask((rows, columns), count, rng, min_patches, min_aspect)
    return rng.permutation(masks).reshape(num_crops, -1)

"""From samples of :class:`ViewsDataset` to a training batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from poa_mm.registry import FUNCTIONS

from .masks import batch_masks

MASK_STREAM = 1  # keeps the masks' random numbers apart from those of the views


@FUNCTIONS.register_module()
def multi_crop_collate(
    samples: Sequence[dict],
    grid: tuple[int, int],
    mask_ratio: tuple[float, float],
    mask_probability: float = 0.5,
    min_patches: int = 4,
    min_aspect: float = 0.3,
) -> dict:
    """Stack the crops of B samples and draw masks for the global ones.

    The masks depend on the seed and on the position of the first sample alone. In a config its type is
    ``poa_mm.multi_crop_collate``: MMEngine looks functions up without the default scope.

    Args:
        samples: What :class:`ViewsDataset` gives.
        grid: Rows and columns of patches of a global crop. Swin and ResNet: the stride-16 grid.
        mask_ratio: Smallest and largest share of masked patches of a masked crop.
        mask_probability: Share of the global crops that are masked.
        min_patches: Smallest rectangle of a mask, in patches.
        min_aspect: Smallest height over width of a rectangle; its inverse is the largest.

    Returns:
        Dict of ``data_samples`` None and ``inputs``, a dict of

        - ``global_crops`` (2B, 3, S, S) uint8, all images' first crop, then all second ones;
        - ``local_crops`` (vB, 3, s, s) uint8, in the same order;
        - ``masks`` (2B, P) bool, P patches row-major;
        - ``mask_indices`` (M,) int64, where ``masks.flatten()`` is True, ascending;
        - ``mask_weights`` (M,) float32, one over the number of masked patches of that crop.

    Raises:
        UserError: If grid or ratio are out of range.
    """
    rng = np.random.default_rng((samples[0]['seed'], samples[0]['position'], MASK_STREAM))
    masks = torch.from_numpy(
        batch_masks(2 * len(samples), grid, mask_ratio, mask_probability, rng, min_patches, min_aspect)
    )
    weights = 1 / masks.sum(dim=1, keepdim=True).clamp(min=1)
    inputs = dict(
        global_crops=_crop_by_crop([sample['global_crops'] for sample in samples]),
        local_crops=_crop_by_crop([sample['local_crops'] for sample in samples]),
        masks=masks,
        mask_indices=masks.flatten().nonzero().flatten(),
        mask_weights=weights.expand_as(masks)[masks],
    )
    return dict(inputs=inputs, data_samples=None)


def _crop_by_crop(crops: list[Tensor]) -> Tensor:
    """B tensors of shape (n, 3, S, S) to one (nB, 3, S, S), the crop index outermost."""
    return torch.stack(crops, dim=1).flatten(0, 1)

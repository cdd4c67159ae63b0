"""Cheaper steps at the beginning of a run: smaller and fewer crops."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from poa_mm.errors import UserError


class CheapStart:
    """Shrinks the crops of the first steps, and leaves out some local ones.

    Low resolution first gives the linear accuracy of full training in 1.6 times less time ("FastDINOv2: frequency based
    curriculum learning improves robustness and training speed", 2025). Crops are shrunk on the device; the same crops
    are read and cut as later. A pure function of the step.

    Args:
        steps: Optimizer steps that are cheaper.
        global_size: Side of the global crops in these, in pixels; ``None`` as they are. Masks do not fit then, so the
            masked-patch loss must start later.
        local_size: The same of the local crops.
        num_local: Local crops of each image in these steps; ``None`` for all.

    Raises:
        UserError: If a number is below 1.
    """

    def __init__(
        self,
        steps: int,
        global_size: int | None = None,
        local_size: int | None = None,
        num_local: int | None = None,
    ) -> None:
        for name, value in dict(
            steps=steps, global_size=global_size, local_size=local_size, num_local=num_local
        ).items():
            if value is not None and value < 1:
                raise UserError(f'{name} of cheap_start must be at least 1, got {value}')
        self.steps, self.global_size, self.local_size, self.num_local = steps, global_size, local_size, num_local

    def __call__(self, batch: dict[str, Any], step: int) -> dict[str, Any]:
        """The batch of a step.

        Args:
            batch: Normalised ``global_crops`` ``(2B, 3, H, W)`` and ``local_crops`` ``(vB, 3, h, w)``, crop by crop;
                other entries stay.
            step: Optimizer steps done.

        Raises:
            UserError: If a batch has fewer local crops than asked for, or smaller crops.
        """
        if step >= self.steps:
            return batch
        local = batch['local_crops']
        images = len(batch['global_crops']) // 2
        if self.num_local is not None:
            if len(local) < self.num_local * images:
                raise UserError(f'num_local of cheap_start is {self.num_local}, but there are {len(local) // images}')
            local = local[: self.num_local * images]
        sizes = dict(
            global_crops=shrink(batch['global_crops'], self.global_size), local_crops=shrink(local, self.local_size)
        )
        return {**batch, **sizes}


def shrink(crops: Tensor, size: int | None) -> Tensor:
    """Crops ``(N, 3, H, W)`` as ``(N, 3, size, size)``, bilinear with antialiasing; ``None`` leaves them as they are.

    Raises:
        UserError: If they are smaller.
    """
    if size is None:
        return crops
    if size > crops.shape[-1]:
        raise UserError(f'cheap_start cannot shrink crops of {crops.shape[-1]} px to {size} px')
    return F.interpolate(crops.float(), size=(size, size), mode='bilinear', antialias=True)

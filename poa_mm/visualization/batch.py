"""What pre-training sees: the crops of a batch and their masks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import Tensor

from poa_mm.errors import UserError

from .canvas import image_grid, show


def first_batch(cfg: Config, number: int) -> dict[str, Tensor]:
    """The inputs of a pre-training config's first batch, with at most ``number`` images; nothing is trained.

    Raises:
        UserError: If the config has no multi-crop data.
    """
    init_default_scope(cfg.get('default_scope', 'poa_mm'))
    loader_cfg = cfg.get('train_dataloader')
    if not loader_cfg or (loader_cfg.get('dataset') or {}).get('type') != 'ViewsDataset':
        raise UserError(f'{cfg.filename} is not a pre-training config: its train_dataloader has no ViewsDataset')
    small = min(number, loader_cfg.get('batch_size') or number)
    loader_cfg = {**loader_cfg, 'batch_size': small, 'num_workers': 0, 'persistent_workers': False}
    return next(iter(Runner.build_dataloader(loader_cfg, seed=cfg.get('randomness', {}).get('seed', 0))))['inputs']


def draw_batch(inputs: Mapping[str, Tensor], number: int) -> Figure:
    """A row for each image: its global crops with masked patches in grey, then its local crops.

    Args:
        inputs: Of ``multi_crop_collate``: ``global_crops`` ``(2B, 3, S, S)`` and ``local_crops`` ``(vB, 3, s, s)``,
            uint8, crop by crop, and ``masks`` ``(2B, P)``.
        number: At most so many images.
    """
    crops, local, masks = (inputs[key].cpu() for key in ('global_crops', 'local_crops', 'masks'))
    images = len(crops) // 2
    views = len(local) // images
    titles = [f'global 1, {crops.shape[-1]} px', 'global 2', *(f'local {i + 1}' for i in range(views))]
    if views:
        titles[2] += f', {local.shape[-1]} px'
    figure, axes = image_grid(min(number, images), 2 + views, 1.6, titles, captions=True)
    for i, row in enumerate(axes):
        for cell, j in zip(row, (i, images + i)):
            show(cell, masked_picture(crops[j], masks[j]))
            share = f'{100 * masks[j].float().mean():.0f} % masked' if masks[j].any() else 'not masked'
            cell.set_xlabel(share, fontsize=7, labelpad=1)
        for cell, crop in zip(row[2:], local[i::images]):
            show(cell, crop)
    return figure


def masked_picture(crop: Tensor, mask: Tensor) -> np.ndarray:
    """A crop ``(3, S, S)`` uint8 as ``(S, S, 3)`` whose masked patches, of ``(P,)`` bool, are grey."""
    picture = crop.permute(1, 2, 0).numpy().copy()
    side = round(len(mask) ** 0.5)
    cell = picture.shape[0] // side
    hidden = mask.view(side, side).repeat_interleave(cell, 0).repeat_interleave(cell, 1).numpy()
    picture[hidden] = picture[hidden] // 5 + 110
    return picture

"""Batches of noise with the shapes and masks of real ones, to measure or count a training step without data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from mmengine.registry import FUNCTIONS

from .multi_crop import View


def random_batch(loader: Mapping[str, Any], batch_size: int) -> dict:
    """A batch of random crops on the host, as the collate function of a dataloader makes it.

    Args:
        loader: Config of the dataloader of a pre-training: its views and its collate function are used.
        batch_size: Images.
    """
    views = {kind: View.from_config(kind, cfg) for kind, cfg in loader['dataset']['views'].items()}
    size, local = views['global_1'].size, views['local']
    sample = dict(
        global_crops=torch.randint(256, (2, 3, size, size), dtype=torch.uint8),
        local_crops=torch.randint(256, (local.number, 3, local.size, local.size), dtype=torch.uint8),
        seed=0,
        position=0,
    )
    options = dict(loader['collate_fn'])
    return partial(FUNCTIONS.get(options.pop('type')), **options)([sample] * batch_size)

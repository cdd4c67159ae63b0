"""How long processes wait for the largest sub-network of a step."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.config import Config

from poa_mm.elastic import SubnetSampler
from poa_mm.elastic.sampler import relative_cost
from poa_mm.registry import MODELS

from .step import check_pretraining

MODES = [
    dict(mode='per_rank'),
    dict(mode='shared'),
    *(dict(mode='by_cost', cost_classes=number) for number in (4, 8, 16)),
]


def straggling(cfg: Config, ranks: int) -> dict[str, float]:
    """:func:`slowest` for every mode of the sampler.

    Args:
        cfg: A pre-training config.
        ranks: Number of processes.

    Raises:
        UserError: If the config is not that of a POA pre-training.
    """
    check_pretraining(cfg)
    with torch.device('meta'):
        space = MODELS.build({'_scope_': 'poa_mm', **cfg.model.backbone}).space
    options = cfg.model.get('sampler') or {}
    return {str(mode): slowest(SubnetSampler(space, **{**options, **mode}), ranks) for mode in MODES}


def slowest(sampler: SubnetSampler, ranks: int, passes: int = 10) -> float:
    """Mean over steps of the largest cost among the processes' draws, as a share of the intact network's.

    Args:
        sampler: How sub-networks are drawn.
        ranks: Number of processes.
        passes: Passes through the pool to average over.
    """
    costs = {subnet: relative_cost(sampler.space, subnet) for subnet in sampler.copies}
    steps = range(passes * len(sampler.pool))
    drawn = [[costs[sampler(step, rank)] for step in steps] for rank in range(ranks)]
    return float(np.max(drawn, axis=0).mean())

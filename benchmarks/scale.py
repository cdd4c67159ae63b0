"""How long processes wait for the largest sub-network of a step, from the sampler's draws."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from benchmarks.command import run
from poa_mm.arguments import add_cfg_options, positive

if TYPE_CHECKING:
    from mmengine.config import Config

    from poa_mm.elastic import SubnetSampler

MODES = [
    dict(mode='per_rank'),
    dict(mode='shared'),
    *(dict(mode='by_cost', cost_classes=number) for number in (4, 8, 16)),
]


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m benchmarks.scale', description=__doc__)
    parser.add_argument('config', help='a pre-training config')
    parser.add_argument('--processes', type=positive, default=32, help='number of processes (32)')
    add_cfg_options(parser)
    return parser.parse_args(arguments)


def measure(args: argparse.Namespace) -> None:
    """Prints the slowest of the draws for each mode of the sampler."""
    from poa_mm.launch import load_config

    for mode, cost in straggling(load_config(args.config, args.cfg_options, None, 'none'), args.processes).items():
        print(f'{mode:45s}{cost:.3f} of the intact network')


def straggling(cfg: Config, ranks: int) -> dict[str, float]:
    """:func:`slowest` for every mode of the sampler.

    Args:
        cfg: A pre-training config.
        ranks: Number of processes.

    Raises:
        UserError: If the config is not a POA pre-training.
    """
    import torch

    from benchmarks.training import check_pretraining
    from poa_mm.elastic import SubnetSampler
    from poa_mm.registry import MODELS

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
    import numpy as np

    from poa_mm.elastic.sampler import relative_cost

    costs = {subnet: relative_cost(sampler.space, subnet) for subnet in sampler.copies}
    steps = range(passes * len(sampler.pool))
    drawn = [[costs[sampler(step, rank)] for step in steps] for rank in range(ranks)]
    return float(np.max(drawn, axis=0).mean())


if __name__ == '__main__':
    run(parse_args, measure)

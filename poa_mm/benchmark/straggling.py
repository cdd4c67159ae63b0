"""How long processes wait for the largest sub-network of a step."""

from __future__ import annotations

import numpy as np

from poa_mm.elastic import SubnetSampler
from poa_mm.elastic.sampler import relative_cost


def slowest(sampler: SubnetSampler, ranks: int, passes: int = 10) -> float:
    """Mean over steps of the largest cost among the processes' draws, as a share of the intact network's.

    Args:
        sampler: How sub-networks are drawn.
        ranks: Number of processes.
        passes: Passes through the bag to average over.
    """
    costs = {subnet: relative_cost(sampler.space, subnet) for subnet in sampler.copies}
    steps = range(passes * len(sampler.bag))
    drawn = [[costs[sampler(step, rank)] for step in steps] for rank in range(ranks)]
    return float(np.max(drawn, axis=0).mean())

"""Which sub-networks learn in a step, and how much each of them counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from poa_mm.elastic import Subnet, SubnetSampler
from poa_mm.elastic.sampler import relative_cost
from poa_mm.errors import UserError


class ElasticDraws:
    """The elastic students of a step: by default one, drawn by the sampler.

    With ``smallest=True`` one of several is always the smallest sub-network; with the intact student, which learns in
    every step, this is the sandwich rule (Yu and Huang, "Universally slimmable networks and improved training
    techniques", ICCV 2019). Unequal weights by size are not from the paper.

    Args:
        sampler: Draws the sub-networks.
        number: Elastic students of a step, each in a pass of its own.
        smallest: Whether the first of them is always the smallest sub-network.
        size_exponent: Exponent ``a`` of the weights: the terms of a sub-network of relative cost ``c`` count
            ``c^a / mean(c^a)``, the mean taken over the sampler's pool. 0: all count alike; below 0: small ones more.

    Raises:
        UserError: If ``number`` is below 1, a single one would always be the smallest, or the sampler would draw the
            same sub-network for all of several.
    """

    def __init__(
        self, sampler: SubnetSampler, number: int = 1, smallest: bool = False, size_exponent: float = 0.0
    ) -> None:
        if number < 1 + smallest:
            least = '2 with smallest=True' if smallest else '1'
            raise UserError(f'the number of elastic students must be at least {least}, got {number}')
        if number - smallest > 1 and sampler.mode == 'shared':
            raise UserError("sampler mode 'shared' draws one sub-network a step, so draws.number must be 1")
        self.space, self.number, self.smallest, self.size_exponent = sampler.space, number, smallest, size_exponent
        self.mean = sum(self._importance(subnet) for subnet in sampler.pool) / len(sampler.pool)

    def subnets(self, sampler: Callable[[int, int, int], Subnet], step: int, rank: int, seed: int) -> list[Subnet]:
        """The sub-networks of a step. Student ``i`` of rank ``r`` draws as rank ``number r + i`` would alone."""
        drawn = [sampler(step, rank * self.number + i, seed) for i in range(self.number)]
        return [self.space.smallest, *drawn[1:]] if self.smallest else drawn

    def weights(self, subnets: Sequence[Subnet]) -> list[float]:
        """The factor of each elastic student's terms; without ``size_exponent`` their sum is 1."""
        return [self._importance(subnet) / self.mean / len(subnets) for subnet in subnets]

    def _importance(self, subnet: Subnet) -> float:
        return relative_cost(self.space, subnet) ** self.size_exponent

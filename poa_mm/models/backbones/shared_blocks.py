"""Sub-networks on the same images: the blocks that they begin with are run once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise, takewhile

from torch import Tensor, nn

from poa_mm.elastic import Subnet, SubnetSpace


class SharedBlocks:
    """Runs the blocks of sub-networks of which each runs once, on the same images.

    Sub-networks of one width compute the same up to the first block in which they differ. They are sorted by their
    blocks, so that each shares most with its neighbours, and outputs are kept only as far as the next one needs them.

    Args:
        space: All sub-networks.
        subnets: Those that run.
    """

    def __init__(self, space: SubnetSpace, subnets: Iterable[Subnet]) -> None:
        paths = {subnet: _path(space, subnet) for subnet in subnets}
        self.order = sorted(paths, key=paths.__getitem__)
        self.common = [_common(paths[a], paths[b]) for a, b in pairwise(self.order)] + [0]
        self.outputs: list[Tensor] = []
        self.position = self.wanted = 0

    def __iter__(self) -> Iterator[Subnet]:
        """The sub-networks; each must be run before the next one is taken."""
        for subnet, common in zip(self.order, self.common):
            self.position, self.wanted = 0, common
            yield subnet
            del self.outputs[common:]

    def run(self, block: nn.Module, x: Tensor, *args) -> Tensor:
        """``block(x, *args)``, or what it returned for the sub-network before."""
        known, self.position = self.position < len(self.outputs), self.position + 1
        if known:
            return self.outputs[self.position - 1]
        x = block(x, *args)
        if self.position <= self.wanted:
            self.outputs.append(x)
        return x


def _path(space: SubnetSpace, subnet: Subnet) -> tuple[tuple[int, ...], ...]:
    """Every block of a sub-network, with what decides what it computes: width, stage and index."""
    stages = enumerate(space.active_blocks(subnet))
    return tuple((subnet.width, stage, index) for stage, active in stages for index in active)


def _common(a: tuple, b: tuple) -> int:
    """The number of entries with which both begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b)))

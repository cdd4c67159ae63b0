"""Sub-networks and the space of all that one elastic network holds (POA, sec. 3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from poa_mm.errors import UserError

Depth = int | tuple[int, ...]


@dataclass(frozen=True)
class Subnet:
    """One sub-network: the leading slice of every weight and an even choice of the blocks.

    Args:
        width: Token size or channels of the first stage.
        depth: Number of blocks; where several stages are elastic, the blocks of every stage.
    """

    width: int
    depth: Depth

    def __str__(self) -> str:
        depth = self.depth if isinstance(self.depth, tuple) else (self.depth,)
        return f'{self.width}x{"-".join(map(str, depth))}'


def spaced_blocks(depth: int, max_depth: int) -> tuple[int, ...]:
    """Indices of ``depth`` evenly spaced blocks out of ``max_depth`` (POA, eq. 2).

    The first and the last block are always among them.
    """
    if depth == 1:
        return (0,)
    return tuple((max_depth - 1) * j // (depth - 1) for j in range(depth))


class SubnetSpace:
    """All sub-networks of one elastic network, from the smallest to the intact one.

    Iterating gives the sub-networks sorted by width, then by number of blocks.

    Args:
        widths: The widths, ascending.
        stages: For every stage the numbers of blocks to choose from, ascending.
        depth_stage: The stage whose number of blocks is *the* depth of a sub-network; the others then
            have one choice each. ``None``: several stages are elastic and a depth names them all.
        names: Names of well-known members; those that are not in the space are left out.

    Raises:
        UserError: If a list is empty or not ascending.
    """

    def __init__(
        self,
        widths: Sequence[int],
        stages: Sequence[Sequence[int]],
        depth_stage: int | None = 0,
        names: Mapping[str, tuple[int, Depth]] | None = None,
    ) -> None:
        for kind, values in [('widths', widths), *(('depths', stage) for stage in stages)]:
            if not values or list(values) != sorted(set(values)) or values[0] < 1:
                raise UserError(f'{kind} must be positive, ascending and distinct, got {list(values)}')
        self.widths = tuple(widths)
        self.stages = tuple(tuple(stage) for stage in stages)
        self.depth_stage = depth_stage
        combinations = sorted(product(*self.stages), key=sum)  # stable: the earlier stage stays outer
        self.depths = tuple(c if depth_stage is None else c[depth_stage] for c in combinations)
        self._subnets = tuple(Subnet(w, d) for w in self.widths for d in self.depths)
        self._members = frozenset(self._subnets)
        named = {name: Subnet(*size) for name, size in (names or {}).items()}
        self.named = {name: subnet for name, subnet in named.items() if subnet in self}

    def __len__(self) -> int:
        return len(self._subnets)

    def __iter__(self) -> Iterator[Subnet]:
        return iter(self._subnets)

    def __contains__(self, subnet: object) -> bool:
        return subnet in self._members

    @property
    def smallest(self) -> Subnet:
        return self._subnets[0]

    @property
    def intact(self) -> Subnet:
        return self._subnets[-1]

    def stage_depths(self, subnet: Subnet) -> tuple[int, ...]:
        """Number of blocks of every stage."""
        if self.depth_stage is None:
            return subnet.depth
        return tuple(subnet.depth if i == self.depth_stage else stage[-1] for i, stage in enumerate(self.stages))

    def active_blocks(self, subnet: Subnet) -> tuple[tuple[int, ...], ...]:
        """For every stage, the indices of the sub-network's blocks among the intact network's."""
        depths = self.stage_depths(subnet)
        return tuple(spaced_blocks(d, stage[-1]) for d, stage in zip(depths, self.stages, strict=True))

    def name(self, subnet: Subnet) -> str:
        """The name of a well-known member (``S``), else its size (``576x15``)."""
        return next((name for name, member in self.named.items() if member == subnet), str(subnet))

    def parse(self, subnet: Subnet | str) -> Subnet:
        """A member from its size (``'384x12'``), its name, ``'intact'`` or ``'smallest'``.

        Raises:
            UserError: If the space does not contain it.
        """
        if isinstance(subnet, str):
            aliases = {**self.named, 'intact': self.intact, 'smallest': self.smallest}
            if subnet in aliases:
                return aliases[subnet]
            match = re.fullmatch(r'(\d+)x(\d+(?:-\d+)*)', subnet)
            if match is None:
                raise UserError(f'unknown sub-network {subnet!r}; {self.describe()}')
            depths = tuple(map(int, match[2].split('-')))
            subnet = Subnet(int(match[1]), depths if self.depth_stage is None else depths[0])
            if str(subnet) != match[0]:
                raise UserError(f'unknown sub-network {match[0]!r}; {self.describe()}')
        if subnet not in self:
            raise UserError(f'sub-network {subnet} is not in this space; {self.describe()}')
        return subnet

    def select(self, wanted: Sequence[str | Subnet]) -> list[Subnet]:
        """Members from a command line: names, sizes, ``all`` and ``named``; each once, in order.

        ``named`` gives the smallest, the well-known and the intact one.

        Raises:
            UserError: If the space does not contain it.
        """
        found: dict[Subnet, None] = {}
        for item in wanted:
            if item == 'all':
                found.update(dict.fromkeys(self))
            elif item == 'named':
                found.update(dict.fromkeys([self.smallest, *self.named.values(), self.intact]))
            else:
                found[self.parse(item)] = None
        return list(found)

    def describe(self) -> str:
        """What the space holds, in one sentence for messages."""
        listed = {
            'widths': ', '.join(map(str, self.widths)),
            'depths': in_words(self.stages[self.depth_stage])
            if self.depth_stage is not None
            else ' and '.join(map(in_words, self.stages)) + ' blocks a stage',
            'names': ', '.join([*self.named, 'smallest', 'intact']),
        }
        return 'allowed are ' + '; '.join(f'{key} {text}' for key, text in listed.items())


def in_words(sizes: Sequence[int]) -> str:
    """``'2 to 4'`` for 2, 3, 4; ``'1, 3, 5'`` where some between are missing."""
    first, last = sizes[0], sizes[-1]
    return f'{first} to {last}' if last - first + 1 == len(sizes) > 1 else ', '.join(map(str, sizes))


def choices(name: str, given: Sequence[int]) -> Sequence[int]:
    """The sizes that a config gives: a list of them, or a tuple ``(first, last[, step])`` that includes the last.

    Raises:
        UserError: If the steps do not lead from the first to the last.
    """
    if isinstance(given, list):
        return given  # SubnetSpace checks them
    if len(given) not in (2, 3):
        raise UserError(f'{name} must be (first, last) or (first, last, step), got {tuple(given)}')
    first, last, step = (*given, 1) if len(given) == 2 else given
    if not 0 < first <= last or step < 1 or (last - first) % step:
        raise UserError(f'{name} must be (first, last, step) with whole steps between, or a list, got {given}')
    return range(first, last + 1, step)

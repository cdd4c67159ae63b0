"""Which sub-network is trained at which step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from poa_mm.errors import UserError

from .space import Depth, Subnet, SubnetSpace


class SubnetSampler:
    """Draws sub-networks from a shuffled pool that holds small ones several times (POA, sec. 3.2).

    Every sub-network but the intact one is in the pool. Its copies are ``round(s_w * s_d)``, where ``s_w``
    falls linearly from ``width_strength`` at the smallest width to 1 at the largest; ``s_d`` is the same for depths.
    The pool is drawn without replacement and reshuffled when empty. A draw is a pure function of
    ``(seed, step, rank)``: there is no state to save. (The paper's eq. 14 gives the probabilities without
    rounding.)

    Processes wait for the largest sub-network of a step. In the mode ``'by_cost'`` the pool is divided into classes
    of like cost, as equal in number as can be; the processes draw their own sub-networks, all from one class. Its
    sequence is that of process 0's draws, so every process still uses the whole pool in every pass. (The paper's way is
    ``'per_rank'``; process 0 draws the same in every mode.)

    ``stages`` are a curriculum of the space: for some steps, some arguments are different. For instance, only the
    largest and the smallest sizes are drawn at first. (In POA's table 19 fewer candidates give better networks; Cai et
    al., "Once-for-all", ICLR 2020, widen the space step by step, from the largest network on.)

    Args:
        space: The space to draw from.
        seed: Seed of the shuffles; ``None``: the seed given to each call.
        mode: ``'per_rank'``: every process draws its own sub-network; ``'shared'``: all train the same one;
            ``'by_cost'``: every process its own, but all of like cost.
        width_strength: The factor ``S`` of the smallest width.
        depth_strength: The factor ``S`` of the smallest depth.
        cost_classes: Number of classes of ``'by_cost'``; 1 is ``'per_rank'``. ``None``: 8, or fewer in a smaller pool.
        widths: Those that are drawn; all of the space by default.
        depths: The same.
        stages: What is different at first, in turn: dicts with ``steps``, the length of the stage, and arguments of
            this class (``dict(steps=300, widths=[96, 192], depths=[4, 8])``).

    Raises:
        UserError: If the mode is unknown, a strength is below 1, only the intact network exists, a width or depth is
            not of the space, a stage has no length, or the number of classes is not from 1 to the number of entries of
            the pool.
    """

    modes = ('per_rank', 'shared', 'by_cost')

    def __init__(
        self,
        space: SubnetSpace,
        seed: int | None = None,
        mode: str = 'by_cost',
        width_strength: float = 3.0,
        depth_strength: float = 3.0,
        cost_classes: int | None = None,
        widths: Sequence[int] | None = None,
        depths: Sequence[Depth] | None = None,
        stages: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if mode not in self.modes:
            raise UserError(f'sampler mode must be one of {self.modes}, got {mode!r}')
        own = dict(
            mode=mode, width_strength=width_strength, depth_strength=depth_strength, cost_classes=cost_classes,
            widths=widths, depths=depths,
        )  # fmt: skip
        for name, strength in [('width', width_strength), ('depth', depth_strength)]:
            if strength < 1:
                raise UserError(f'{name}_strength must be at least 1, got {strength}')
        if len(space) < 2:
            raise UserError('the space holds nothing but the intact network, so nothing can be drawn')
        self.space, self.seed, self.mode = space, seed, mode
        width_factor = strengths('widths', space.widths, widths, width_strength)
        depth_factor = strengths('depths', space.depths, depths, depth_strength)
        self.copies = {
            subnet: int(np.round(width_factor[subnet.width] * depth_factor[subnet.depth]))
            for subnet in space
            if subnet != space.intact and subnet.width in width_factor and subnet.depth in depth_factor
        }
        self.pool = [subnet for subnet, n in self.copies.items() for _ in range(n)]
        if not self.pool:
            raise UserError('the chosen widths and depths leave nothing but the intact network to draw')
        if cost_classes is None:
            cost_classes = min(8, len(self.pool))
        if mode == 'by_cost' and not 1 <= cost_classes <= len(self.pool):
            raise UserError(
                f'cost_classes must be from 1 to the {len(self.pool)} entries of the pool, got {cost_classes}'
            )
        places = np.argsort(np.argsort([relative_cost(space, subnet) for subnet in self.pool], kind='stable'))
        self.cost_class = places * cost_classes // len(self.pool)
        self._order = lru_cache(maxsize=64)(self._find_order)
        self.stages: list[tuple[int, SubnetSampler]] = []  # the first step after each, and its sampler
        end = 0
        for stage in map(dict, stages):
            length = stage.pop('steps', 0)
            if length < 1:
                raise UserError(f'a stage of the sampler needs its number of steps, at least 1, got {length}')
            if unknown := sorted(stage.keys() - own.keys()):
                raise UserError(f'a stage of the sampler has unknown keys {unknown}: allowed are {["steps", *own]}')
            end += length
            self.stages.append((end, SubnetSampler(space, seed, **{**own, **stage})))

    def _shuffle(self, seed: int, rank: int, pass_: int) -> np.ndarray:
        return np.random.default_rng((seed, rank, pass_)).permutation(len(self.pool))

    def _find_order(self, seed: int, rank: int, pass_: int) -> np.ndarray:
        """The entries of the pool in the order in which a process draws them."""
        first = self._shuffle(seed, 0, pass_)
        if self.mode == 'shared' or rank == 0:
            return first
        own = self._shuffle(seed, rank, pass_)
        if self.mode == 'by_cost':
            # Where process 0 draws from a class for the k-th time, this one takes its own k-th entry of that class.
            first, grouped = (np.argsort(self.cost_class[order], kind='stable') for order in (first, own))
            own[first] = own[grouped]
        return own

    def __call__(self, step: int, rank: int = 0, seed: int = 0) -> Subnet:
        """The sub-network that process ``rank`` trains in optimizer step ``step``.

        Args:
            step: Optimizer steps done before this one.
            rank: The process, or with accumulated gradients the micro-batch among those of all processes.
            seed: Seed of the run, unless the sampler has its own.
        """
        for end, sampler in self.stages:
            if step < end:
                return sampler(step, rank, seed)
        pass_, place = divmod(step, len(self.pool))
        return self.pool[self._order(seed if self.seed is None else self.seed, rank, pass_)[place]]


def strengths(
    name: str, values: Sequence[Depth], chosen: Sequence[Depth] | None, strength: float
) -> dict[Depth, float]:
    """Factors of the chosen widths or depths, falling linearly from ``strength`` at the smallest to 1.

    Args:
        name: ``'widths'`` or ``'depths'``.
        values: Those of the space, the smallest first.
        chosen: Some of them; ``None`` for all.
        strength: The largest factor.

    Raises:
        UserError: If one of them is not of the space.
    """
    chosen = list(values) if chosen is None else [tuple(v) if isinstance(v, list) else v for v in chosen]
    if not chosen or not set(chosen) <= set(values):
        raise UserError(f'{name} of the sampler must be of the space, {list(values)}, got {chosen}')
    chosen = [value for value in values if value in chosen]
    return dict(zip(chosen, np.linspace(strength, 1, len(chosen))))


def relative_cost(space: SubnetSpace, subnet: Subnet) -> float:
    """About how many operations a sub-network takes, as a share of the intact network's: ``width^2 x blocks``.

    Where the width doubles from stage to stage, the tokens fall to a quarter, so blocks of all stages count alike.
    """
    width, depth = subnet.width / space.intact.width, sum(space.stage_depths(subnet))
    return width**2 * depth / sum(space.stage_depths(space.intact))

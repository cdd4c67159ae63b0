"""Which sub-network is trained at which step."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .space import Subnet, SubnetSpace


class SubnetSampler:
    """Draws sub-networks from a shuffled bag that holds small ones several times (POA, sec. 3.2).

    Every sub-network but the intact one is in the bag. Its copies are ``round(s_w * s_d)``, where ``s_w``
    falls linearly from ``width_strength`` at the smallest width to 1 at the largest, and ``s_d`` likewise.
    The bag is drawn without replacement and reshuffled when empty. A draw is a pure function of
    ``(seed, step, rank)``: there is no state to save. (The paper's eq. 14 gives the probabilities without
    rounding.)

    Args:
        space: The space to draw from.
        seed: Seed of the shuffles.
        mode: ``'per_rank'``: every process draws its own sub-network; ``'shared'``: all train the same one.
        width_strength: The factor ``S`` of the smallest width.
        depth_strength: The factor ``S`` of the smallest depth.

    Raises:
        ValueError: If the mode is unknown, a strength is below 1, or only the intact network exists.
    """

    modes = ('per_rank', 'shared')

    def __init__(
        self,
        space: SubnetSpace,
        seed: int = 0,
        mode: str = 'per_rank',
        width_strength: float = 3.0,
        depth_strength: float = 3.0,
    ) -> None:
        if mode not in self.modes:
            raise ValueError(f'sampler mode must be one of {self.modes}, got {mode!r}')
        for name, strength in [('width', width_strength), ('depth', depth_strength)]:
            if strength < 1:
                raise ValueError(f'{name}_strength must be at least 1, got {strength}')
        if len(space) < 2:
            raise ValueError('the space holds nothing but the intact network, so nothing can be drawn')
        self.space, self.seed, self.mode = space, seed, mode
        width_factor = dict(zip(space.widths, np.linspace(width_strength, 1, len(space.widths))))
        depth_factor = dict(zip(space.depths, np.linspace(depth_strength, 1, len(space.depths))))
        self.copies = {
            subnet: int(np.round(width_factor[subnet.width] * depth_factor[subnet.depth]))
            for subnet in space
            if subnet != space.intact
        }
        self.bag = [subnet for subnet, n in self.copies.items() for _ in range(n)]
        self._order = lru_cache(maxsize=8)(self._shuffle)

    def _shuffle(self, rank: int, pass_: int) -> np.ndarray:
        return np.random.default_rng((self.seed, rank, pass_)).permutation(len(self.bag))

    def __call__(self, step: int, rank: int = 0) -> Subnet:
        """The sub-network that process ``rank`` trains in optimizer step ``step``."""
        pass_, place = divmod(step, len(self.bag))
        return self.bag[self._order(0 if self.mode == 'shared' else rank, pass_)[place]]

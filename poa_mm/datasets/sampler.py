"""An endless stream of draws that is a pure function of the seed."""

import itertools
from collections.abc import Iterable, Iterator, Sized
from typing import NamedTuple

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from poa_mm.errors import UserError
from poa_mm.registry import DATA_SAMPLERS


class Draw(NamedTuple):
    """One sample to load: which image, and what fixes its random views.

    Args:
        index: Index of the image in the dataset.
        position: Number of images drawn before it in the whole run, over all processes.
        seed: Seed of the run. It travels with the draw, so that the views follow the runner's seed.
    """

    index: int
    position: int
    seed: int = 0


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(Sampler):
    """Endless shuffled passes over a dataset, dealt out to the processes batch by batch.

    Draw ``p`` of the run depends on the seed and on ``p`` alone. Batch ``k`` of the run holds the draws ``k b`` to
    ``(k + 1) b - 1``, and process ``r`` of ``n`` gets the batches r, r + n, r + 2n, ... So the batches of an optimizer
    step are the same whether more processes run or each accumulates over more batches.

    Args:
        dataset: The dataset; only its length is used.
        batch_size: Images of one batch of one process, ``b``; must be the dataloader's.
        seed: Seed of the run. None draws one, the same for all processes; such a run cannot be
            repeated.
        shuffle: Shuffle each pass (anew) or keep the order of the dataset.

    Raises:
        UserError: If the dataset is empty or the batch size is not positive.
    """

    def __init__(self, dataset: Sized, *, batch_size: int = 1, seed: int | None = None, shuffle: bool = True) -> None:
        if batch_size < 1:
            raise UserError(f'batch_size of SeededInfiniteSampler must be at least 1, got {batch_size}')
        if len(dataset) == 0:
            raise UserError('the dataset has 0 images: at least 1 is needed.')
        self.rank, self.world_size = get_dist_info()
        self.size, self.batch_size = len(dataset), batch_size
        self.seed = sync_random_seed() if seed is None else seed
        self.shuffle = shuffle
        self.skipped = 0

    def __iter__(self) -> Iterator[Draw]:
        numbers = (divmod(number, self.batch_size) for number in itertools.count(self.skipped))
        yield from self._draws(self._first(batch) + place for batch, place in numbers)

    def batch(self, number: int) -> list[Draw]:
        """The draws of batch ``number`` of this process, counted from the start of the run."""
        return list(self._draws(range(self._first(number), self._first(number) + self.batch_size)))

    def _first(self, batch: int) -> int:
        """Position of the first draw of a batch of this process."""
        return (batch * self.world_size + self.rank) * self.batch_size

    def _draws(self, positions: Iterable[int]) -> Iterator[Draw]:
        """The draws at ascending positions of the run; the order of a pass is made once."""
        order, order_pass = None, -1
        for position in positions:
            current_pass, offset = divmod(position, self.size)
            if current_pass != order_pass:
                order, order_pass = self._order(current_pass), current_pass
            yield Draw(int(order[offset]), position, self.seed)

    def _order(self, number: int) -> np.ndarray:
        """Indices of the dataset in the order of a pass."""
        if not self.shuffle:
            return np.arange(self.size)
        return np.random.default_rng((self.seed, number)).permutation(self.size)

    def skip(self, num_samples: int) -> None:
        """Start after the first ``num_samples`` draws of this process (MMEngine calls it on resume).

        Raises:
            UserError: If it is negative.
        """
        if num_samples < 0:
            raise UserError(f'cannot skip {num_samples} samples: 0 or more are allowed.')
        self.skipped = num_samples

    def __len__(self) -> int:
        """Number of images in the dataset."""
        return self.size

    def set_epoch(self, epoch: int) -> None:
        """Nothing to do: the stream has no end."""

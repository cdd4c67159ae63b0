"""Checks the batch size before training."""

from mmengine.dataset import InfiniteSampler
from mmengine.hooks import Hook
from mmengine.runner import Runner

from poa_mm.datasets.sampler import SeededInfiniteSampler
from poa_mm.errors import UserError
from poa_mm.registry import HOOKS


@HOOKS.register_module()
class BatchSizeCheckHook(Hook):
    """Checks that dataloader, sampler and optimizer wrapper agree on the batch size, and that KoLeo can work with it.

    Args:
        min_batch_size: Fewest images of a micro-batch; KoLeo needs a neighbour for each.

    Raises:
        UserError: The batch is too small, or is not that of the optimizer wrapper or of the sampler.
    """

    def __init__(self, min_batch_size: int = 2) -> None:
        self.min_batch_size = min_batch_size

    def before_train(self, runner: Runner) -> None:
        """Check once."""
        loader = runner.train_dataloader
        batch_size, drop_last = loader.batch_size, loader.drop_last
        if batch_size is None:  # MMEngine was given a batch sampler
            batch_size, drop_last = loader.batch_sampler.batch_size, loader.batch_sampler.drop_last

        expected = getattr(runner.optim_wrapper, 'expected_batch_size', None)
        if expected is not None and batch_size != expected:
            raise UserError(
                f'The dataloader gives {batch_size} images a batch, but optim_wrapper is set for {expected}: '
                'train_dataloader.batch_size must equal optim_wrapper.batch_size (or its lr_scaling.batch_size).'
            )
        dealt = getattr(loader.sampler, 'batch_size', batch_size)
        if dealt != batch_size:
            raise UserError(
                f'The dataloader gives {batch_size} images a batch, but its sampler deals out batches of {dealt}: '
                'train_dataloader.batch_size and train_dataloader.sampler.batch_size must be equal.'
            )
        if batch_size < self.min_batch_size:
            raise UserError(
                f'The batch of one process must have at least {self.min_batch_size} images, got {batch_size}.'
            )
        if not drop_last and not isinstance(loader.sampler, InfiniteSampler | SeededInfiniteSampler):
            rest = len(loader.sampler) % batch_size
            if 0 < rest < self.min_batch_size:
                raise UserError(
                    f'The last batch of an epoch would have {rest} of at least {self.min_batch_size} images: '
                    'set drop_last=True or use SeededInfiniteSampler.'
                )

"""The picture of the first batch, at the start of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from poa_mm.errors import UserError
from poa_mm.registry import HOOKS

from .batch import draw_batch
from .canvas import rendered


@HOOKS.register_module()
class FirstBatchHook(Hook):
    """Gives a picture of the crops and masks that a run starts with to the visualizer's backends.

    ``LocalVisBackend`` writes it to ``vis_data/vis_image/first_batch_0.png`` of the run; without a backend nothing is
    drawn. ::

        default_hooks = dict(first_batch=dict(type='FirstBatchHook', number=6))

    Args:
        number: Images that are shown.

    Raises:
        UserError: If the number is not positive.
    """

    def __init__(self, number: int = 6) -> None:
        if number < 1:
            raise UserError(f'number of FirstBatchHook must be at least 1, got {number}')
        self.number = number
        self.drawn = False

    def before_train(self, runner: Runner) -> None:
        """Draw again in a new run."""
        self.drawn = False

    @master_only
    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Mapping | Sequence[Mapping] | None = None
    ) -> None:
        """Draw the first micro-batch of the first iteration; the crops are still on the host."""
        if self.drawn or not runner.visualizer._vis_backends:
            return
        batch = data_batch if isinstance(data_batch, Mapping) else data_batch[0]
        picture = rendered(draw_batch(batch['inputs'], self.number))
        runner.visualizer.add_image('first_batch', picture, step=runner.iter)
        self.drawn = True

"""Logging that waits for the device only when something is printed."""

import torch
from mmengine.hooks import RuntimeInfoHook
from mmengine.runner import Runner
from torch import Tensor

from poa_mm.registry import HOOKS

from .common import log_interval


@HOOKS.register_module()
class LazyRuntimeInfoHook(RuntimeInfoHook):
    """Takes the place of ``RuntimeInfoHook``, which waits for the device once per logged value and iteration.

    The values of each iteration stay on the device. When the logger prints, all of them are fetched
    in one transfer and given to the message hub in order: it holds what it always held, only later.
    Also logs the gradient norms of the optimizer wrapper (its ``grad_norms``), and warns of the
    steps that it skipped (its ``skipped_steps``).

    Args:
        history: Values kept per name. MMEngine keeps up to a million, copies them all at each
            iteration, and writes them into each checkpoint.
    """

    def __init__(self, history: int = 1000) -> None:
        self.history = history
        self._rows: list[tuple[list[str], Tensor]] = []

    def before_train(self, runner: Runner) -> None:
        """Find out when the logger prints; without a logger, every iteration counts."""
        super().before_train(runner)
        self._rows.clear()
        self.interval = log_interval(runner)
        self._skipped = float(getattr(runner.optim_wrapper, 'skipped_steps', 0))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Log the learning rate and, where it is scheduled, the weight decay of parameters without a multiplier."""
        super().before_train_iter(runner, batch_idx, data_batch)
        settings = getattr(runner.optim_wrapper, 'base_param_settings', None) or {}
        if 'weight_decay' in settings:
            runner.message_hub.update_scalar('train/weight_decay', settings['weight_decay'])

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Keep the values; hand them over if the logger is going to print."""
        values = {**(outputs or {}), **getattr(runner.optim_wrapper, 'grad_norms', {})}
        numbers = {k: v for k, v in values.items() if not isinstance(v, Tensor)}
        for key, value in numbers.items():
            runner.message_hub.update_scalar(f'train/{key}', value)
        tensors = {k: v.detach() for k, v in values.items() if isinstance(v, Tensor)}
        if tensors:
            # A copy, because nobody promises that these tensors are not written to in the next iteration.
            row = torch.stack([v.float().reshape(()) for v in tensors.values()])
            self._rows.append((list(tensors), row))
        if (
            self.every_n_inner_iters(batch_idx, self.interval)
            or self.end_of_epoch(runner.train_dataloader, batch_idx)
            or self.is_last_train_iter(runner)
        ):
            self.hand_over(runner)

    def hand_over(self, runner: Runner) -> None:
        """Fetch what was kept, in one transfer, and give it to the message hub."""
        hub = runner.message_hub
        skipped = getattr(runner.optim_wrapper, 'skipped_steps', None)
        columns = [row for _, row in self._rows] + ([] if skipped is None else [skipped.reshape(1)])
        fetched = torch.cat(columns).tolist() if columns else []
        values = iter(fetched)
        for keys, _ in self._rows:
            for key in keys:
                hub.update_scalar(f'train/{key}', next(values))
        self._rows.clear()
        for name, buffer in hub.log_scalars.items():
            if name.startswith('train/'):
                buffer.max_length = self.history
        if skipped is not None:
            self._tell_skipped(runner, next(values))

    def _tell_skipped(self, runner: Runner, skipped: float) -> None:
        runner.message_hub.update_scalar('train/skipped_steps', skipped)
        if skipped > self._skipped:
            runner.logger.warning(
                f'{skipped - self._skipped:.0f} optimizer steps skipped since the last report '
                f'({skipped:.0f} in all): loss or gradients were not finite.'
            )
        self._skipped = skipped

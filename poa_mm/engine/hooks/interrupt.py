"""Ends a run with a checkpoint when a signal asks for it."""

from __future__ import annotations

import signal
from pathlib import Path

import torch
from mmengine.dist import barrier, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from torch import distributed

from poa_mm.errors import INTERRUPTED, RunStopped
from poa_mm.registry import HOOKS

from ..interrupt import catch_signals, received
from ..loops import ResumableEpochLoop
from .checkpoint import AtomicCheckpointHook


@HOOKS.register_module()
class InterruptHook(Hook):
    """After SIGTERM, SIGUSR1 or Ctrl-C, saves a checkpoint at the next step and ends the run.

    ``poa train`` adds it to every config. The exit code is 75; the run continues with ``--resume``. With several
    processes the signal may reach any of them, at any time: after each step they exchange a flag, over a group on the
    CPU and while the next step runs, so that all stop after the same one. A run that counts epochs goes on within the
    epoch (:class:`ResumableEpochLoop`).

    Raises:
        RunStopped: After the checkpoint is written.
    """

    priority = 'LOWEST'  # after the checkpoint hook

    def before_train(self, runner: Runner) -> None:
        """Catch signals, if the command has not done it."""
        if signal.getsignal(signal.SIGUSR1) in (signal.SIG_DFL, None):
            catch_signals()
        self.group = distributed.new_group(backend='gloo') if get_world_size() > 1 else None
        self.exchange = None

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Stop if a signal has come."""
        if not self._agreed():
            return
        hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        within_epoch = isinstance(runner.train_loop, ResumableEpochLoop) and isinstance(hook, AtomicCheckpointHook)
        if hook is None or (hook.by_epoch and not within_epoch):
            advice = 'no checkpoint within an epoch; --resume continues from the last epoch'
        else:
            if hook.by_epoch:
                hook.save_within_epoch(runner, batch_idx + 1)
            # Every process knows the name; whether the file is there yet, one may see and another not.
            elif Path(hook.last_ckpt or '').name != hook.filename_tmpl.format(runner.iter + 1):
                hook._save_checkpoint(runner)
            barrier()  # launchers kill the others, also the one that writes, when the first process ends
            advice = 'its checkpoint is written; continue with --resume'
        name = signal.Signals(received() or signal.SIGTERM).name
        raise RunStopped(f'{name} ended the run after step {runner.iter + 1}: {advice}', INTERRUPTED)

    def _agreed(self) -> bool:
        """Whether a process had received a signal, one step ago where there are several."""
        if self.group is None:
            return received() is not None
        stop = False
        if self.exchange is not None:
            work, flag = self.exchange
            work.wait()
            stop = bool(flag)
        flag = torch.tensor(int(received() is not None))
        self.exchange = distributed.all_reduce(flag, distributed.ReduceOp.MAX, self.group, async_op=True), flag
        return stop

"""Training loop that counts optimizer steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import Tensor

from poa_mm.errors import UserError
from poa_mm.registry import LOOPS

BATCHES_DONE = 'batches_done'  # of the current epoch, in the message hub


@LOOPS.register_module()
class StepTrainLoop(IterBasedTrainLoop):
    """One iteration is one optimizer step, however many micro-batches its gradients are accumulated over.

    Schedulers, hooks, checkpoints and logs therefore count optimizer steps, and ``iter_N.pth`` is the state after step
    ``N`` on any number of processes.

    With ``n`` processes, micro-batch ``m`` of process ``r`` has the virtual rank ``m * n + r``: 8 processes with 4
    micro-batches draw the sub-networks and drop paths of 32 processes, and with :class:`SeededInfiniteSampler` see the
    same images. ``step``, ``rank`` (the virtual one) and ``seed`` are added to the ``inputs`` of each micro-batch.

    PyTorch is seeded by these three before each micro-batch, so what is drawn in a step does not depend on earlier
    steps: a resumed run draws what it would have drawn, and checkpoints hold no random state.

    Args:
        runner: The runner; its optimizer wrapper says how many micro-batches make a step.
        dataloader: Dataloader or its config. A batch is a dict whose ``inputs`` are a dict.
        max_iters: Optimizer steps of the run.
        kwargs: Further arguments of ``IterBasedTrainLoop``.
    """

    def run(self) -> torch.nn.Module:
        """Train from the current step to the last; returns the model.

        Raises:
            UserError: Each process is seeded differently by the config.
        """
        if self.runner._randomness_cfg.get('diff_rank_seed'):
            raise UserError('randomness.diff_rank_seed must be False: what a process draws depends on its rank already')
        sampler = self.dataloader.sampler
        if getattr(sampler, 'seed', self.runner.seed) != self.runner.seed:  # resumed, with the seed of the checkpoint
            sampler.seed = self.runner.seed
            self.dataloader_iterator = type(self.dataloader_iterator)(self.dataloader)
        wrapper = self.runner.optim_wrapper
        counts = wrapper._accumulative_counts
        # MMEngine's runner has initialized these counts for one micro-batch per iteration.
        wrapper.initialize_count_status(self.runner.model, self._iter * counts, self._max_iters * counts)
        self.dataloader_iterator = MicroBatches(self.dataloader_iterator, counts)
        return super().run()

    def run_iter(self, data_batch: Sequence[dict]) -> None:
        """One optimizer step.

        Args:
            data_batch: The micro-batches.
        """
        self.runner.call_hook('before_train_iter', batch_idx=self._iter, data_batch=data_batch)
        rank, world_size = get_dist_info()
        logs = []
        for number, batch in enumerate(data_batch):
            draw = dict(step=self._iter, rank=number * world_size + rank, seed=self.runner.seed)
            torch.manual_seed(step_seed(**draw))
            batch = {**batch, 'inputs': {**batch['inputs'], **draw}}
            logs.append(self.runner.model.train_step(batch, optim_wrapper=self.runner.optim_wrapper))
        self.runner.call_hook(
            'after_train_iter', batch_idx=self._iter, data_batch=data_batch, outputs=mean_values(logs)
        )
        self._iter += 1


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """``EpochBasedTrainLoop`` that goes on within an epoch.

    A checkpoint of :meth:`AtomicCheckpointHook.save_within_epoch` says how many batches of its epoch are done. These
    are read and dropped, so the others are those that would have followed; what the model draws at random differs.
    ``poa train`` puts it in the place of MMEngine's loop.
    """

    def run_epoch(self) -> None:
        """Train on the rest of the epoch."""
        hub = self.runner.message_hub
        done = hub.runtime_info.get(BATCHES_DONE, 0)
        hub.update_info(BATCHES_DONE, 0)
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for number, batch in enumerate(self.dataloader):
            if number >= done:
                self.run_iter(number, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


class MicroBatches:
    """Groups the batches of a dataloader into optimizer steps.

    Args:
        batches: MMEngine's endless iterator over a dataloader.
        counts: Micro-batches per step.
    """

    def __init__(self, batches: Iterator[dict], counts: int) -> None:
        self.batches, self.counts = batches, counts

    def __next__(self) -> list[dict]:
        return [next(self.batches) for _ in range(self.counts)]

    def skip_iter(self, steps: int) -> None:
        """Skip the batches of the first ``steps`` steps without loading them."""
        self.batches.skip_iter(steps * self.counts)


def mean_values(logs: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Means over the micro-batches, computed on the device."""
    if len(logs) == 1:
        return logs[0]
    return {name: torch.stack([log[name].detach() for log in logs]).mean(0) for name in logs[0]}


def step_seed(seed: int, step: int, rank: int) -> int:
    """A 64-bit seed; those of neighbouring steps and ranks are unrelated."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0])

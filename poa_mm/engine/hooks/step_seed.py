"""Randomness of a step that does not depend on what happened before."""

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from poa_mm.registry import HOOKS


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seeds PyTorch before every iteration by the run's seed, the iteration and the process.

    What a step draws on the device or the host (drop path) is then a function of these alone: a resumed run draws
    what it would have drawn, and checkpoints hold no state of random numbers. Views and sub-networks are
    such functions by themselves.
    """

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Seed."""
        torch.manual_seed(step_seed(runner.seed, runner.iter, get_rank()))


def step_seed(seed: int, iteration: int, rank: int) -> int:
    """A number of 64 bits; those of neighbouring iterations have nothing in common."""
    return int(np.random.SeedSequence((seed, iteration, rank)).generate_state(1, np.uint64)[0])

"""What several hooks ask the runner."""

import math

from mmengine.hooks import LoggerHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def unwrapped(runner: Runner) -> nn.Module:
    """The model itself, without DistributedDataParallel and the like."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model


def log_interval(runner: Runner) -> int:
    """Iterations between two times that a logger prints; 1 without one."""
    return math.gcd(*(hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook))) or 1

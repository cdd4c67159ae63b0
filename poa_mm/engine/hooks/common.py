"""What several hooks ask the runner."""

import math

from mmengine.hooks import LoggerHook
from mmengine.runner import Runner


def log_interval(runner: Runner) -> int:
    """Iterations between two times that a logger prints; 1 without one."""
    return math.gcd(*(hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook))) or 1

"""Gradients in bfloat16 between processes."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook

from poa_mm.registry import HOOKS


@HOOKS.register_module()
class Bf16GradientsHook(Hook):
    """Processes send each other their gradients in bfloat16: half the bytes, for slow networks.

    Every gradient is rounded to 8 bits of mantissa before the sum over processes. Without ``DistributedDataParallel``
    the hook does nothing.
    """

    def before_train(self, runner: Runner) -> None:
        """Register PyTorch's hook."""
        if is_model_wrapper(runner.model):
            runner.model.register_comm_hook(None, bf16_compress_hook)

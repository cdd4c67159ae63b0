"""Gradients in bfloat16 between processes."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from poa_mm.errors import UserError
from poa_mm.registry import HOOKS

from ..fully_sharded import FullyShardedPOA


@HOOKS.register_module()
class Bf16GradientsHook(Hook):
    """Processes send each other their gradients in bfloat16: half the bytes, for slow networks.

    Every gradient is rounded to 8 bits of mantissa before the sum over processes. One process alone sends
    nothing.

    Raises:
        UserError: The model is a :class:`FullyShardedPOA`, which sends fp32.
    """

    def before_train(self, runner: Runner) -> None:
        """Register PyTorch's hook."""
        if isinstance(runner.model, FullyShardedPOA):
            raise UserError('Bf16GradientsHook goes with DistributedDataParallel, not with FullyShardedPOA')
        if isinstance(runner.model, DistributedDataParallel):
            runner.model.register_comm_hook(None, bf16_compress_hook)

"""Runs every width once before the training, so that no step waits for what its kernels need the first time."""

from __future__ import annotations

import time

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from poa_mm.datasets.random_batch import random_batch
from poa_mm.models.backbones.attention import choose_attention
from poa_mm.models.poa import POA
from poa_mm.models.wrapping import unwrapped
from poa_mm.registry import HOOKS


@HOOKS.register_module()
class WarmUpHook(Hook):
    """Runs forward and backward pass of every width on random crops, where blocks are compiled or a GPU is used.

    Blocks are compiled, libraries choose and load kernels for every size, and the allocator gets its blocks. Otherwise
    that would happen in the first steps, at another time in every process, while the others wait. Nothing of the model
    changes.

    Args:
        attention: The only kernel of attention that may run on a GPU, see :func:`choose_attention`; ``None``: PyTorch
            chooses.
    """

    def __init__(self, attention: str | None = None) -> None:
        self.attention = attention

    def before_train(self, runner: Runner) -> None:
        """Run the widths, and log how long it took."""
        model = unwrapped(runner.model)
        device = next(model.parameters()).device
        if not isinstance(model, POA) or (device.type == 'cpu' and not model.compile_blocks):
            return
        choose_attention(self.attention)
        start = time.perf_counter()
        loader = runner.cfg.train_dataloader
        widths = warm_up(model, random_batch(loader, loader.batch_size), runner.optim_wrapper.amp_dtype)
        print_log(f'Warmed up {widths} widths in {time.perf_counter() - start:.0f} s', 'current')


def warm_up(model: POA, batch: dict, amp_dtype: torch.dtype | None) -> int:
    """Forward and backward pass of the smallest sub-network of each width; returns the number of widths.

    Args:
        model: Left as it is, gradients included.
        batch: What the dataloader gives.
        amp_dtype: Of autocast; ``None`` for fp32.
    """
    inputs = model.data_preprocessor(batch, True)['inputs']
    target = {name: value.clone() for name, value in model.target.state_dict().items()}
    space = model.backbone.space
    smallest = {subnet.width: subnet for subnet in reversed(list(space))}
    device = next(model.parameters()).device
    for subnet in smallest.values() if model.sampler else [space.intact]:
        with torch.autocast(device.type, dtype=amp_dtype, enabled=amp_dtype is not None):
            loss = model.compute_losses(**inputs, subnet=subnet, teacher_temp=0.07)['loss']
        # After the forward pass, which gathers parameters that are divided.
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        torch.autograd.grad(loss, parameters, allow_unused=True)  # not backward(), which DDP would wait for
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    model.target.load_state_dict(target)
    return len(smallest) if model.sampler else 1

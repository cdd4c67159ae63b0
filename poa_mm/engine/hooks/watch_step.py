"""Watches one step for values that are not finite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from poa_mm.models.wrapping import unwrapped
from poa_mm.registry import HOOKS


@HOOKS.register_module()
class WatchStepHook(Hook):
    """Finds out, in one step of a run, which modules and gradients are the first that are not finite.

    Each output is looked at as soon as it is computed, which waits for the device.

    Args:
        iteration: Steps done before the one to watch.

    Attributes:
        module (str | None): First module, in the order of computation, with an output that is not finite; of nested
            modules the innermost.
        gradient (str | None): First parameter, in the order of the backward pass, whose gradient is not finite.
        values (dict[str, float]): Losses and gradient norms of the step.
    """

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration
        self.module: str | None = None
        self.gradient: str | None = None
        self.values: dict[str, float] = {}
        self.handles: list[Any] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Start to watch."""
        if runner.iter != self.iteration:
            return
        model = unwrapped(runner.model)
        for name, module in model.named_modules():
            if name:
                self.handles.append(module.register_forward_hook(self._forward(name)))
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                self.handles.append(parameter.register_post_accumulate_grad_hook(self._backward(name)))

    def _forward(self, name: str) -> Any:
        def look(module: nn.Module, arguments: Any, output: Any) -> None:
            if self.module is None and not _finite(output):
                self.module = f'{name} ({type(module).__name__})'

        return look

    def _backward(self, name: str) -> Any:
        def look(parameter: Tensor) -> None:
            if self.gradient is None and not _finite(parameter.grad):
                self.gradient = name

        return look

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Keep the values and stop watching."""
        if runner.iter != self.iteration:
            return
        found = {**(outputs or {}), **runner.optim_wrapper.grad_norms}
        self.values = {name: float(value.detach()) for name, value in found.items() if isinstance(value, Tensor)}
        for handle in self.handles:
            handle.remove()


def _finite(value: Any) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in _tensors(value))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value.detach() if value.is_floating_point() else torch.zeros(())
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)

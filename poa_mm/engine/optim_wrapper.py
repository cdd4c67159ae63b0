"""Optimizer wrapper of the pre-training: mixed precision, clipping, and skipping of non-finite steps."""

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.dist import get_world_size
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam, AdamW, Optimizer

from poa_mm.errors import UserError
from poa_mm.registry import OPTIM_WRAPPERS

from .fully_sharded import divided_state, whole

AMP_DTYPES = {None: None, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


@OPTIM_WRAPPERS.register_module()
class PoaOptimWrapper(OptimWrapper):
    """Optimizer wrapper that never waits for the device.

    A step whose loss or gradients are not finite changes neither parameters nor optimizer state. That
    is decided on the device: a non-finite loss is turned into NaN before the backward pass, so that
    the gradient all-reduce carries it to every process and all agree; the gradient norm shows it,
    and the fused optimizer skips the step.

    Gradients are clipped at an L2 norm. The authors' program takes two norms, one of the backbone and
    one of all heads together (``separately=True``); the paper takes one of all parameters.

    Args:
        optimizer: Adam or AdamW with ``fused=True`` (works on CPU and GPU).
        total_batch: Images per optimizer step, over all processes and micro-batches. The number of micro-batches
            follows: ``total_batch / (batch_size x processes)``.
        batch_size: Images per micro-batch of one process; goes with ``total_batch``.
        accumulative_counts: Micro-batches per optimizer step, where ``total_batch`` is not given.
        clip_grad: ``dict(max_norm=..., separately=False)``, or None for no clipping.
        amp_dtype: Autocast type: None (fp32), 'bfloat16' or 'float16' (with a gradient scaler).

    Attributes:
        finite (Tensor): 0-dim float on the device of the parameters: 1 if the last optimizer step was applied,
            0 if it was skipped.
        skipped_steps (Tensor): 0-dim float on the device: optimizer steps skipped so far.
        grad_norms (dict[str, Tensor]): Norms before clipping at the last optimizer step, 0-dim on the device:
            'grad_norm', or 'grad_norm_backbone' and 'grad_norm_heads'.

    Raises:
        UserError: The optimizer is not fused, the total batch cannot be divided, or an argument is not one of those
            above.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_batch: int | None = None,
        batch_size: int | None = None,
        accumulative_counts: int = 1,
        clip_grad: dict | None = None,
        amp_dtype: str | None = None,
    ) -> None:
        if not (isinstance(optimizer, Adam | AdamW) and optimizer.defaults.get('fused')):
            raise UserError(
                'PoaOptimWrapper skips non-finite steps on the device and needs Adam or AdamW with fused=True, '
                f'got {type(optimizer).__name__} with fused={optimizer.defaults.get("fused")}.'
            )
        if (total_batch is None) != (batch_size is None):
            raise UserError(f'total_batch and batch_size go together, got {total_batch} and {batch_size}.')
        if accumulative_counts < 1 or (total_batch is not None and accumulative_counts != 1):
            raise UserError(
                f'accumulative_counts must be at least 1, and follows from total_batch where that is given; '
                f'got {accumulative_counts} with total_batch {total_batch}.'
            )
        if total_batch is not None:
            accumulative_counts = count_micro_batches(total_batch, batch_size, get_world_size())
        if amp_dtype not in AMP_DTYPES:
            raise UserError(f'amp_dtype must be one of {list(AMP_DTYPES)}, got {amp_dtype!r}.')
        super().__init__(optimizer, accumulative_counts)
        self.max_norm, self.separately = _parse_clip_grad(clip_grad)
        if self.separately and not all('part' in group for group in optimizer.param_groups):
            raise UserError(
                'clip_grad separately=True needs parameter groups that say which part they belong to, as '
                'LayerDecayOptimWrapperConstructor makes them.'
            )
        self.amp_dtype = AMP_DTYPES[amp_dtype]
        self.device = optimizer.param_groups[0]['params'][0].device
        # bf16 has the range of fp32; only fp16 gradients underflow.
        self.loss_scaler = torch.amp.GradScaler(self.device.type) if amp_dtype == 'float16' else None
        self.finite = torch.ones((), device=self.device)
        self.skipped_steps = torch.zeros((), device=self.device)
        self.grad_norms: dict[str, Tensor] = {}

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and no gradient all-reduce before the last micro-batch of a step."""
        autocast = torch.autocast(self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None)
        with super().optim_context(model), autocast:
            yield

    def backward(self, loss: Tensor, **kwargs) -> None:
        """Backward pass; a non-finite loss gives NaN gradients.

        Args:
            loss: 0-dim tensor.
            kwargs: Passed on to ``Tensor.backward``.
        """
        # An infinite loss can have finite gradients, and only gradients reach the other processes.
        loss = loss * torch.where(loss.detach().isfinite(), 1.0, math.nan)
        if self.loss_scaler is not None:
            loss = self.loss_scaler.scale(loss)
        super().backward(loss, **kwargs)

    def step(self, **kwargs) -> None:
        """Clip and update, unless a gradient is not finite.

        Args:
            kwargs: Passed on to the optimizer's ``step``.
        """
        if self.loss_scaler is not None:
            self.loss_scaler.unscale_(self.optimizer)
        self._clip_grad()
        self.finite = torch.stack(list(self.grad_norms.values())).isfinite().all().float()
        self.skipped_steps += 1 - self.finite
        # GradScaler sets this attribute to make a fused optimizer skip the step.
        self.optimizer.found_inf = 1 - self.finite
        self.optimizer.step(**kwargs)
        del self.optimizer.found_inf
        if self.loss_scaler is not None:
            self.loss_scaler.update()

    def _clip_grad(self) -> None:
        parts = defaultdict(list)
        for group in self.optimizer.param_groups:
            name = f'grad_norm_{group["part"]}' if self.separately else 'grad_norm'
            parts[name] += [p for p in group['params'] if p.grad is not None]
        self.grad_norms = {
            # .to(): the norm of a part without any gradient is made on the CPU.
            name: whole(clip_grad_norm_(params, self.max_norm)).to(self.device)
            for name, params in parts.items()
        }

    def state_dict(self) -> dict:
        """State of the optimizer, the loss scaler (fp16) and the number of skipped steps."""
        state_dict = super().state_dict()
        state_dict['skipped_steps'] = self.skipped_steps
        if self.loss_scaler is not None:
            state_dict['loss_scaler'] = self.loss_scaler.state_dict()
        return state_dict

    def load_state_dict(self, state_dict: dict) -> None:
        """Load what :meth:`state_dict` gave; a checkpoint of another precision loads too."""
        state_dict = dict(state_dict)
        if 'skipped_steps' in state_dict:
            self.skipped_steps = state_dict.pop('skipped_steps').to(self.device).clone()
        scaler_state = state_dict.pop('loss_scaler', None)
        if self.loss_scaler is not None and scaler_state is not None:
            self.loss_scaler.load_state_dict(scaler_state)
        super().load_state_dict(divided_state(self.optimizer, state_dict))


def count_micro_batches(total_batch: int, batch_size: int, processes: int) -> int:
    """Micro-batches of each process in an optimizer step.

    Args:
        total_batch: Images per optimizer step.
        batch_size: Images per micro-batch of one process.
        processes: Number of processes.

    Raises:
        UserError: If they do not divide the total batch; names the batch sizes that do.
    """
    if min(total_batch, batch_size) < 1:
        raise UserError(f'total_batch and batch_size must be at least 1, got {total_batch} and {batch_size}.')
    counts, rest = divmod(total_batch, batch_size * processes)
    if counts and not rest:
        return counts
    share, rest = divmod(total_batch, processes)
    fitting = [] if rest else [size for size in range(min(batch_size, share), 0, -1) if share % size == 0]
    advice = f'set total_batch to a multiple of {batch_size * processes}'
    if fitting:
        others = f' (so do {", ".join(map(str, fitting[1:4]))})' if fitting[1:] else ''
        advice = f'batch_size={fitting[0]} trains the same{others}, or {advice}'
    raise UserError(
        f'total_batch={total_batch} cannot be made of micro-batches of {batch_size} images on {processes} processes: '
        f'{advice}.'
    )


def _parse_clip_grad(clip_grad: dict | None) -> tuple[float, bool]:
    """The maximal norm (infinite for no clipping) and whether parts are clipped separately."""
    if clip_grad is None:
        return math.inf, False
    unknown = set(clip_grad) - {'max_norm', 'separately'}
    max_norm = clip_grad.get('max_norm', 0)
    if unknown or not max_norm > 0:
        raise UserError(f'clip_grad must be None or dict(max_norm=<above 0>, separately=<bool>), got {clip_grad}.')
    return max_norm, clip_grad.get('separately', False)

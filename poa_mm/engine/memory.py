"""Memory and operations of a training step, counted on fake tensors: no data, no GPU and hardly any memory."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import flop_registry

from poa_mm.datasets.random_batch import random_batch
from poa_mm.elastic import Subnet, SubnetSampler
from poa_mm.elastic.sampler import relative_cost
from poa_mm.errors import UserError
from poa_mm.models.backbones import windows
from poa_mm.models.distiller import Distiller
from poa_mm.models.losses import soft_cross_entropy
from poa_mm.models.poa import POA
from poa_mm.registry import MODELS

from .optim_wrapper import AMP_DTYPES

# Autocast on a GPU computes these in fp32; on a CPU it leaves some of them in half precision.
GPU_FP32 = {
    *('layer_norm', 'group_norm', 'softmax', 'log_softmax', 'logsumexp'),
    *('exp', 'log', 'pow', 'norm', 'sum', 'prod'),
}


@dataclass(frozen=True)
class StepMemory:
    """What one micro-batch takes on one device, in bytes, and its operations.

    Args:
        student: Parameters that are trained.
        teacher: The teacher's parameters, and all buffers.
        optimizer: AdamW's two moments.
        gradients: Of all parameters that are trained.
        activations: What lives at the end of the forward pass: kept for the backward pass, outputs and targets.
        peak: The most that lives at one time besides parameters, optimizer and gradients of earlier micro-batches.
        flops: Floating-point operations of the products of forward and backward pass.
    """

    student: int
    teacher: int
    optimizer: int
    gradients: int
    activations: int
    peak: int
    flops: int


class Counter(TorchDispatchMode):
    """Counts the bytes of all tensors that are made within it and still live, and the operations of products.

    PyTorch's ``FlopCounterMode`` keeps alive what a checkpointed block computes again.

    Attributes:
        live: Bytes now.
        peak: Most bytes so far.
        flops: Floating-point operations of products so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = self.flops = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.flops += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=out)
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and id(tensor.untyped_storage()) not in known:
                self._add(tensor.untyped_storage())
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._remove, key, size).atexit = False

    def _remove(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.live -= size


class FakeMode(FakeTensorMode):
    """Stays one when tensors are copied, as the teacher copies the student."""

    def __deepcopy__(self, memo: dict) -> FakeMode:
        return self


@contextmanager
def fake_tensors(cfg: Config) -> Iterator[FakeMode]:
    """Models that are built inside, in the scope of a config, have fake weights."""
    scope = DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'poa_mm'))
    with scope, warnings.catch_warnings(), FakeMode() as fake:
        # PyTorch's own deepcopy, which makes the teacher, asks for the address of the weights.
        warnings.filterwarnings('ignore', 'Accessing the data pointer of FakeTensor')
        yield fake


class GpuOperations(TorchFunctionMode):
    """Runs on the CPU what a GPU would run: autocast's fp32 operations and memory-efficient attention."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, '__name__', '')
        if name == 'scaled_dot_product_attention':
            return gpu_attention(*args, **(kwargs or {}))
        if name in GPU_FP32 and torch.is_autocast_enabled('cpu'):
            half = (torch.bfloat16, torch.float16)
            args = tree_map_only(Tensor, lambda t: t.float() if t.dtype in half else t, args)
        return func(*args, **(kwargs or {}))


def gpu_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None) -> Tensor:
    """The fused attention kernel of a GPU, for 4-dimensional fake inputs."""
    function = torch.ops.aten._scaled_dot_product_efficient_attention
    if attn_mask is not None:
        attn_mask = attn_mask.expand(*query.shape[:-1], key.shape[-2])
    return function(query, key, value, attn_mask, query.requires_grad, dropout_p, is_causal, scale=scale)[0]


def count_step(
    cfg: Config,
    batch_size: int,
    accumulates: bool = False,
    subnet: Subnet | Sequence[Subnet] | None = None,
    gpu: bool = True,
) -> StepMemory:
    """Count one micro-batch of a pre-training or a distillation, with the masked-patch loss on where there is one.

    Live tensors are counted, not what an allocator reserves for them, nor the GPU's context and libraries.

    Args:
        cfg: A config of POA, SEED or a recovery.
        batch_size: Images.
        accumulates: Whether the gradients of an earlier micro-batch are there already.
        subnet: The elastic student, or each of several; ``None`` is the intact network, which needs most.
        gpu: Whether to count what a GPU runs; otherwise, and with recomputation, what a CPU runs.

    Raises:
        UserError: The config is not one of these.
    """
    check_pretraining(cfg)
    batch = random_batch(cfg.train_dataloader, batch_size)
    # What is recomputed in the backward pass runs outside function modes, and must be what the forward pass ran.
    gpu = gpu and not cfg.model.backbone.get('with_cp', False)
    windows.shift_mask.cache_clear()  # real tensors
    with fake_tensors(cfg) as fake:
        model = MODELS.build(cfg.model.to_dict()).train()
        batch = tree_map_only(Tensor, fake.from_tensor, batch)
        dtype = AMP_DTYPES[cfg.optim_wrapper.get('amp_dtype')]
        try:
            return run_step(model, batch, dtype, accumulates, subnet, gpu)
        finally:
            windows.shift_mask.cache_clear()  # fake ones


def run_step(
    model: POA | Distiller,
    batch: dict,
    dtype: torch.dtype | None,
    accumulates: bool,
    subnet: Subnet | Sequence[Subnet] | None,
    gpu: bool,
) -> StepMemory:
    """Forward and backward pass of a model; counts both. Arguments as those of :func:`count_step`."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    size = sum(parameter.nbytes for parameter in trained)
    # A distillation's teacher is not among its parameters.
    whole = chain(model.parameters(), model.buffers(), model.teacher.parameters(), model.teacher.buffers())
    rest = {id(tensor): tensor.nbytes for tensor in whole if not tensor.requires_grad}
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter) if accumulates else None
    with ExitStack() as stack:
        counter = stack.enter_context(Counter())
        if gpu:
            stack.enter_context(gpu_chunks())
            stack.enter_context(GpuOperations())
        with torch.autocast('cpu', dtype=dtype, enabled=dtype is not None):
            inputs = model.data_preprocessor(batch, True)['inputs']
            if isinstance(model, POA):
                losses = model.compute_losses(**inputs, subnet=subnet, teacher_temp=0.07, patch_loss=True)
            else:
                losses = model.loss(inputs)
            loss = losses['loss']
            activations = counter.live
        loss.backward()
    return StepMemory(
        student=size,
        teacher=sum(rest.values()),
        optimizer=2 * size,
        gradients=size,
        activations=activations,
        peak=counter.peak,
        flops=counter.flops,
    )


@contextmanager
def gpu_chunks() -> Iterator[None]:
    """Cross-entropies work on as many logits at a time as on a GPU."""
    chunk = soft_cross_entropy.CHUNK
    before, chunk['cpu'] = chunk['cpu'], chunk['cuda']
    try:
        yield
    finally:
        chunk['cpu'] = before


def typical_subnet(sampler: SubnetSampler) -> Subnet:
    """The sub-network whose cost is nearest to the mean of the draws after all stages."""
    costs = {subnet: relative_cost(sampler.space, subnet) for subnet in sampler.copies}
    mean = sum(costs[subnet] for subnet in sampler.pool) / len(sampler.pool)
    return min(costs, key=lambda subnet: abs(costs[subnet] - mean))


def check_pretraining(cfg: Config) -> type[POA] | type[Distiller]:
    """The class of a config's model; refuses the config of anything else before it is built.

    Raises:
        UserError: The config is not a pre-training with POA, nor a distillation.
    """
    kind = (cfg.get('model') or {}).get('type', 'a config without a model')
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(found, type) and issubclass(found, POA | Distiller)):
        raise UserError(
            f'what can be counted is POA pre-training, SEED and recovery, not {getattr(kind, "__name__", kind)}'
        )
    if not (cfg.get('optim_wrapper') and cfg.get('train_dataloader') and cfg.get('train_cfg')):
        raise UserError(f'{cfg.filename} has nothing to train with: train_dataloader, train_cfg and optim_wrapper')
    if not (cfg.optim_wrapper.get('total_batch') and cfg.optim_wrapper.get('batch_size')):
        raise UserError(f'optim_wrapper of {cfg.filename} must state total_batch and batch_size to be counted')
    return found

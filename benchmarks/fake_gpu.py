"""A training step on fake tensors that pose as those of a GPU.

PyTorch's autograd engine cannot run fake CUDA tensors without a driver, so the tensors are fake CPU tensors. What
differs on a GPU is emulated: ``tensor.device``, the copy to the device, autocast's fp32 operations and fused attention.
Which tensors would be on the device is tracked by a mark on each of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses import FakeTensor, FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.overrides import TorchFunctionMode
from torch.utils._foreach_utils import _group_tensors_by_device_and_dtype
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import flop_registry

from poa_mm.config import load_config
from poa_mm.engine.memory import GPU_FP32, FakeMode, gpu_attention
from poa_mm.models import compiling
from poa_mm.models.losses import fused
from poa_mm.models.poa import POA

from . import operations, training
from .fusion import READS, REDUCTIONS, Operation, fuse
from .regions import Regions, Values

aten = torch.ops.aten
CPU, GPU = torch.device('cpu'), torch.device('cuda:0')

# Autocast on a GPU computes these in fp32; on a CPU it leaves some of them in half precision.
PRODUCTS = {kind.__name__ for kind in operations.PRODUCTS}
# Category by the file that calls, and else by the kind of operation.
FILES = {
    'drop_path.py': 'drop path',
    'sinkhorn.py': 'Sinkhorn',
    'soft_cross_entropy.py': 'cross-entropies',
    'prototype.py': 'cross-entropies',
    'koleo.py': 'KoLeo',
    'prototype_head.py': 'heads',
    'optim_wrapper.py': 'optimizer and EMA',
    'teacher_ema.py': 'optimizer and EMA',
}
KINDS = {
    'norms': ('native_layer_norm', 'native_group_norm'),
    'attention': ('_scaled_dot_product',),
    'GELU': ('gelu',),
    'casts': ('_to_copy',),
    'copies': ('cat', 'clone', 'copy_', 'roll', 'stack', 'slice_backward', 'select_backward', 'constant_pad', 'index'),
    'sums and adds': ('sum', 'add'),
}
WRITES_NOTHING = (
    '_unsafe_view',
    'empty',
    'new_empty',
    'empty_like',
    'empty_strided',
    'new_empty_strided',
    'detach',
    'device',
)


@dataclass
class Trace:
    """A traced step.

    Attributes:
        images: Images of the step.
        subnet: The elastic student.
        operations: All kernels on the device: operations, and what is made of those that are compiled.
    """

    images: int
    subnet: str
    operations: list[Operation] = field(default_factory=list)


class HostWaitError(Exception):
    """The host needs a value that only the device has."""


class MixedDevicesError(Exception):
    """An operation has inputs on the host and on the device."""


def trace(path: str, options: dict, batch_size: int | None = None, subnet: str = training.TYPICAL) -> Trace:
    """One optimizer step of a config.

    Args:
        path: A pre-training config.
        options: Changes to it, by dotted keys.
        batch_size: Images of the step.
        subnet: The elastic student: a member, or ``'typical'``.

    Raises:
        HostWaitError: If the step makes the host wait for the device.
        MixedDevicesError: If an operation mixes devices.
    """
    cfg = load_config(
        path, {'optim_wrapper.total_batch': None, 'optim_wrapper.batch_size': None, **options}, None, 'none'
    )
    loader = cfg.train_dataloader.to_dict()
    if batch_size:
        loader['batch_size'] = batch_size
    batch = training.random_batch(loader, CPU)
    with fake_gpu() as recorder, ExitStack() as stack:
        batch = tree_map_only(Tensor, recorder.fake.from_tensor, batch)
        stack.enter_context(mock.patch.object(training, 'random_batch', lambda loader, device: batch))
        stack.enter_context(mock.patch.object(training, 'check_device', lambda device: GPU))
        stack.enter_context(mock.patch.object(POA, 'init_weights', lambda model: None))  # there are no values
        step = training.TrainingStep(cfg, GPU, subnet, batch_size)
        step()
    return Trace(step.images, str(step.subnet), fuse(recorder.operations))


@contextmanager
def fake_gpu() -> Iterator[Recorder]:
    """Within it, tensors are fake, and those made on ``cuda:0`` pose as those of a GPU."""
    autocast, device = torch.autocast, FakeTensor.device.fget
    is_autocast_enabled = torch.is_autocast_enabled
    fake = FakeMode()
    recorder = Recorder(fake)
    with ExitStack() as stack:
        for owner, name, new in [
            (FakeTensor, 'device', property(lambda t: GPU if on_device(t) and not recorder.running else device(t))),
            (torch, 'autocast', lambda device_type, **how: autocast('cpu', **how)),
            (torch, 'is_autocast_enabled', lambda device_type=None: is_autocast_enabled('cpu')),
            (torch.nn.Module, 'to', moved),
            (torch.nn.Module, 'compile', lambda module, **how: recorder.regions.compile_module(module, **how)),
            (torch, 'compile', recorder.regions.compile),
            (torch.compiler, 'is_compiling', recorder.regions.is_compiling),
            (compiling, 'missing_compiler', lambda device: None),
            (sys.modules['torch.nn.utils.clip_grad'], '_group_tensors_by_device_and_dtype', grouped),
            (sys.modules['torch.optim.optimizer'], '_group_tensors_by_device_and_dtype', grouped),
        ]:
            stack.enter_context(mock.patch.object(owner, name, new))
        stack.enter_context(mock.patch.dict(fused._compiled, clear=True))
        for mode in (fake, recorder, Posing(recorder)):
            stack.enter_context(mode)
        yield recorder


def moved(module: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """``module.to(device)`` in place, as parameters have it."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor._posing = True
    return module


def grouped(tensors: list[list[Tensor]], with_indices: bool = False) -> dict:
    """PyTorch's grouping of tensors, whose keys name the device that they pose on."""
    found = _group_tensors_by_device_and_dtype(tensors, with_indices)
    return {(GPU, dtype): group for (_, dtype), group in found.items()}


def on_device(tensor: Tensor) -> bool:
    """Whether a fake tensor poses as one of the GPU."""
    return getattr(tensor, '_posing', False)


class Posing(TorchFunctionMode):
    """What the program sees of the fake tensors, as if they were on a GPU."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, '__name__', '')
        if func == Tensor.is_cuda.__get__:
            return on_device(args[0])
        if name in ('item', 'tolist', 'cpu', 'numpy', '__bool__', '__float__', '__int__') and on_device(args[0]):
            raise HostWaitError(f'Tensor.{name} of a tensor on the device')
        if name in ('device', '_parse_to'):
            return func(*args, **kwargs)
        if name == 'pin_memory':
            return args[0]
        if name == 'scaled_dot_product_attention':
            return self.tagged(gpu_attention, args, kwargs)
        target, args, kwargs = without_device(args, kwargs)
        if name in GPU_FP32 and torch.is_autocast_enabled('cpu'):
            half = (torch.bfloat16, torch.float16)
            args = tree_map_only(Tensor, lambda t: t.float() if t.dtype in half else t, args)
        if target is None or not args or not isinstance(args[0], Tensor):
            self.recorder.factory = target
            out = self.tagged(func, args, kwargs)
            self.recorder.factory = None
            return out
        source = args[0]
        if target == CPU and on_device(source):
            raise HostWaitError(f'Tensor.{name} to the host')
        out = self.tagged(func, args, kwargs)
        if target == GPU and name == 'to' and not on_device(source):
            out = out.clone() if out is source else out
        for tensor in tree_leaves(out):
            tensor._posing = target == GPU
        return out

    def tagged(self, func, args, kwargs):
        """Runs a function; its operations, also those of the backward pass, get the category of its caller."""
        backward = getattr(func, '__name__', '') == 'backward'  # its operations belong to those of the forward pass
        outer, self.recorder.caller = self.recorder.caller, ('', '') if backward else caller()
        try:
            out = func(*args, **kwargs)
        finally:
            here, self.recorder.caller = self.recorder.caller, outer
        pending = [t.grad_fn for t in tree_leaves(out) if isinstance(t, Tensor) and t.grad_fn is not None]
        while pending:
            node = pending.pop()
            if 'caller' not in node.metadata:
                node.metadata['caller'] = here
                pending += [parent for parent, _ in node.next_functions if parent is not None]
        return out


def without_device(args: tuple, kwargs: dict) -> tuple[torch.device | None, tuple, dict]:
    """The device that a call asks for, ``None`` if it does not, and the arguments with the CPU in its place."""
    found = None

    def replaced(value):
        nonlocal found
        if isinstance(value, torch.device) or (isinstance(value, str) and value.split(':')[0] in ('cuda', 'cpu')):
            found = GPU if torch.device(value).type == 'cuda' else CPU
            return CPU
        return value

    args = tuple(replaced(value) for value in args)
    kwargs = {key: replaced(value) for key, value in kwargs.items()}
    return found, args, kwargs


def caller() -> tuple[str, str]:
    """File and class (or function) of the innermost frame of this project that is running."""
    frame = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename
        if '/poa_mm/' in path:
            owner = frame.f_locals.get('self')
            return path.rpartition('/')[2], type(owner).__name__ if owner is not None else frame.f_code.co_name
        frame = frame.f_back
    return '', ''


class Recorder(TorchDispatchMode):
    """Records operations on the device, and which tensors are there."""

    def __init__(self, fake: FakeTensorMode) -> None:
        super().__init__()
        self.fake = fake
        self.operations: list[Operation] = []
        self.caller = ('', '')
        self.factory: torch.device | None = None
        self.running = False  # PyTorch itself must see where the fake tensors are
        self.regions, self.values = Regions(), Values()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        outer, self.running = self.running, True
        try:
            out = func(*args, **kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise HostWaitError(f'{error} in {self.caller}') from error
        finally:
            self.running = outer
        outputs = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        there = any(map(on_device, inputs)) or (not inputs and self.factory == GPU)
        if not there:
            return out
        name = func.overloadpacket.__name__
        strangers = [t for t in inputs if not on_device(t) and t.dim()]
        if strangers and name not in ('_to_copy', 'copy_'):
            raise MixedDevicesError(
                f'{func} with an input of {tuple(strangers[0].shape)} on the host, in {self.caller}'
            )
        for tensor in outputs:
            tensor._posing = True
        file, owner = self.place()
        # The optimizer makes its state in the first step only.
        if not (func.is_view or name in WRITES_NOTHING or (name, file) == ('zeros_like', 'optim_wrapper.py')):
            self.operations.append(self.operation(func, category(name, file, owner), args, kwargs, outputs, out))
        return out

    def place(self) -> tuple[str, str]:
        """Who calls, or in the backward pass called."""
        node = torch._C._current_autograd_node()
        if self.caller[0] or node is None:
            return self.caller
        return node.metadata.get('caller', self.caller)

    def operation(self, func, category: str, args: tuple, kwargs: dict, outputs: list[Tensor], out) -> Operation:
        """Counts one call."""
        inputs = {id(t): t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        arguments = zip(func._schema.arguments, args)
        mutated = [value for argument, value in arguments if argument.alias_info and argument.alias_info.is_write]
        written = {id(t): t for t in [*outputs, *tree_leaves(mutated)] if isinstance(t, Tensor)}
        kind = func.overloadpacket
        sizes = {id(t): size(t) for t in inputs.values()}
        if kind.__name__ in READS:  # not more than what it writes
            sizes[id(args[0])] = min(size(args[0]), args[0].element_size() * outputs[0].numel())
        reads = tuple(self.values.read(t, sizes[id(t)]) for t in inputs.values())
        writes = tuple(self.values.write(t, size(t)) for t in written.values())
        return Operation(
            kind.__name__,
            category,
            flop_registry[kind](*args, **kwargs, out_val=out) if kind in flop_registry else 0,
            sum(access.bytes for access in reads + writes),
            any(t.dtype in (torch.bfloat16, torch.float16) for t in inputs.values()),
            self.regions.of_now(),
            reads,
            writes,
            reduces_over_rows(kind.__name__, args, outputs),
        )


def reduces_over_rows(name: str, args: tuple, outputs: list[Tensor]) -> bool:
    """Whether an operation sums its input over leading axes, as for the gradient of a bias."""
    if name not in REDUCTIONS or not isinstance(args[0], Tensor):
        return False
    x, out = args[0], outputs[0]
    return 1 < out.numel() < x.numel() and out.shape[-1:] == x.shape[-1:]


def category(name: str, file: str, owner: str) -> str:
    """Where an operation counts."""
    if name in PRODUCTS and FILES.get(file) not in ('Sinkhorn', 'KoLeo', 'optimizer and EMA'):
        return 'products'
    if file in FILES:
        return FILES[file]
    if 'LayerScale' in owner:
        return 'LayerScale'
    found = (category for category, names in KINDS.items() if any(name.startswith(n) for n in names))
    return next(found, 'other')


def size(tensor: Tensor) -> int:
    """Bytes behind a tensor; an expanded dimension counts once."""
    entries = 1
    for length, stride in zip(tensor.shape, tensor.stride()):
        entries *= length if stride else 1
    return entries * tensor.element_size()

"""What decides how to run the step on a GPU: each figure beside what a roofline predicts."""

from __future__ import annotations

import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial

import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import Timer

from poa_mm.engine.hooks.teacher_ema import TeacherEMAHook
from poa_mm.engine.hooks.warm_up import warm_up
from poa_mm.models.backbones.attention import BACKENDS, choose_attention
from poa_mm.models.losses import SinkhornKnopp, cross_entropy
from poa_mm.models.losses.fused import fusing

from .fake_gpu import trace
from .largest import release_memory
from .operations import square_product_rate
from .trace import predict
from .training import DRAWN, TYPICAL, TrainingStep

# Kernels of a profile by their names, the first that fits.
KERNELS = {
    'attention': 'flash|fmha|attention|sdpa',
    # Fused kernels have the names of what was joined.
    'norms': '(layer|group)_norm',
    'GELU': 'gelu',
    'cross-entropies': 'softmax|^triton.*_(logsumexp|exp)(_|$)',
    'other compiled': '^triton',
    'convolutions': 'conv|fprop|dgrad|wgrad|cudnn',
    'products': 'gemm|cutlass|nvjet|mma|mm$|matmul|cublas',
    'optimizer and EMA': 'multi_tensor|adam|sgd|foreach',
    'copies': 'memcpy|memset|copy|cat',
    'between processes': 'nccl',
}


@dataclass
class Finding:
    """A figure.

    Args:
        check: Which check found it.
        what: What was measured.
        measured: Its value; ``None`` if it could not be measured, which the note explains.
        unit: Of both values.
        predicted: What the roofline of the given rates predicts; ``None`` where it says nothing.
        note: Anything else.
    """

    check: str
    what: str
    measured: float | None
    unit: str
    predicted: float | None = None
    note: str = ''


@dataclass
class Setting:
    """Where the checks run.

    Args:
        config: A pre-training config.
        options: Changes to it.
        device: Of the step.
        batch_size: Images of a step.
        steps: Timed steps.
        flops: Operations per second of large products, for predictions.
        bandwidth: Bytes per second, for predictions.
        tiny: Whether sizes are such that a CPU does everything in seconds.
    """

    config: str
    options: dict
    device: torch.device
    batch_size: int
    steps: int
    flops: float
    bandwidth: float
    tiny: bool

    def step(self, subnet: str = TYPICAL, **options) -> TrainingStep:
        """The training step of the config."""
        arguments = dict(subnet=subnet, batch_size=self.batch_size)
        return TrainingStep.from_config(self.config, {**self.options, **options}, str(self.device), **arguments)


def run_checks(setting: Setting, seconds: float, log: Callable[[str], None]) -> Iterator[list[Finding]]:
    """The findings of each check, as they are made. After ``seconds`` no other check starts.

    A check that fails is a finding and leaves the others.
    """
    start = time.perf_counter()
    for name, check in CHECKS.items():
        if time.perf_counter() - start > seconds:
            yield [Finding(name, 'not done', None, '', note='no time was left')]
            continue
        log(name)
        try:
            yield [Finding(name, *values) for values in check(setting)]
        except RuntimeError as error:  # of CUDA or a library; the other checks can still be made
            yield [Finding(name, 'failed', None, '', note=f'{type(error).__name__}: {str(error).splitlines()[0]}')]
        torch._dynamo.reset()  # else the next one is timed with what was compiled for this one
        release_memory()


def rates(s: Setting) -> Iterator[tuple]:
    """A copy and a large product: what the predictions of all others take for granted."""
    x = torch.zeros(2**22 if s.tiny else 2**28, device=s.device)
    yield f'copy of {x.nbytes / 2**20:.0f} MiB', 2 * x.nbytes / seconds(x.clone) / 1e9, 'GB/s', s.bandwidth / 1e9
    rate = square_product_rate(256 if s.tiny else 8192, torch.bfloat16, s.device)
    yield 'large product in bf16', rate / 1e12, 'TFLOP/s', s.flops / 1e12


def attention(s: Setting) -> Iterator[tuple]:
    """Forward and backward pass of each kernel at the lengths of local and global crops."""
    for length, images in ((37, 8), (197, 2)):
        qkv = torch.randn(3, (1 if s.tiny else s.batch_size) * images, 16, length, 64, device=s.device)
        qkv = qkv.bfloat16().requires_grad_()
        moved, products = 12 * qkv[0].nbytes, 3.5 * 4 * qkv[0].numel() * length
        predicted = 1e3 * max(products / s.flops, moved / s.bandwidth)
        for backend in (None, *BACKENDS):
            what = f'{length} tokens, {backend or "PyTorch chooses"}'
            try:
                choose_attention(backend)
                yield what, 1e3 * seconds(partial(forward_backward, attend_all, qkv)), 'ms', predicted
            except RuntimeError as error:  # a kernel that the device lacks
                yield what, None, 'ms', predicted, str(error).splitlines()[0]
            finally:
                choose_attention(None)


def attend_all(qkv: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.scaled_dot_product_attention(*qkv)


def forward_backward(function: Callable, x: torch.Tensor) -> None:
    torch.autograd.grad(function(x).sum(), x)


def losses(s: Setting) -> Iterator[tuple]:
    """Cross-entropy and targets of one head for masked patches, as they are and compiled."""
    shape = (32, 256) if s.tiny else (60 * s.batch_size, 65536)
    logits = torch.randn(shape, device=s.device).bfloat16().requires_grad_()
    targets = torch.rand(shape, device=s.device)
    balance = SinkhornKnopp()
    functions = {
        'cross-entropy': (lambda: forward_backward(lambda z: cross_entropy(targets, z, 0.1), logits), 14),
        'Sinkhorn-Knopp': (lambda: balance({'patch': [logits.detach()]}, 0.05), 20),
    }
    for name, (function, bytes_per_logit) in functions.items():
        for on in (False, True):
            with fusing(on):
                function()
                what = f'{name}, {"compiled" if on else "eager"}'
                yield what, 1e3 * seconds(function), 'ms', 1e3 * bytes_per_logit * logits.numel() / s.bandwidth


def teacher(s: Setting) -> Iterator[tuple]:
    """The update of the teacher in one kernel that can skip, against PyTorch's ``lerp``."""
    step = s.step()
    ema, finite = step.ema, torch.ones((), device=s.device)
    predicted = 1e3 * 3 * sum(tensor.nbytes for tensor in ema.teacher) / s.bandwidth
    yield 'EMA', 1e3 * seconds(lambda: ema.update(0.999, finite)), 'ms', predicted
    yield 'lerp', 1e3 * seconds(partial(TeacherEMAHook.update, ema, 0.999)), 'ms', predicted


def steps(s: Setting) -> Iterator[tuple]:
    """The step, eager and compiled, at the same batch; where its time goes, and how fast the host alone is."""
    for on in (False, True):
        options = {'model.compile_blocks': on}
        step = s.step(**options)
        predicted = predict(trace(s.config, {**s.options, **options}, s.batch_size), s.flops, 50e12, s.bandwidth)
        timed(step, 2 if s.tiny else 5)
        what = 'compiled' if on else 'eager'
        whole = timed(step, s.steps)
        yield f'step, {what}', step.images / whole, 'images/s', predicted['images_per_second']
        found = kernel_times(step)
        for name in sorted(found.keys() | predicted['categories'].keys()):
            expected = predicted['categories'].get(name)
            yield f'kernels, {what}: {name}', found.get(name), 'ms', expected and 1e3 * expected['seconds']
        # So few images that the device waits for the host, which has as many kernels to start.
        step.resize(2)
        timed(step, 2 if s.tiny else 5)
        note = 'a step of 2 images, beside that of all, which the host must not hold up'
        yield f'host alone, {what}', 1e3 * timed(step, s.steps), 'ms', 1e3 * whole, note


def kernel_times(step: TrainingStep) -> dict[str, float]:
    """Milliseconds of a step's kernels by category."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (step.device.type == 'cuda')
    with profile(activities=activities) as found:
        timed(step, 1)  # which waits for the device
    return by_category(found.key_averages(), step.device.type)


def by_category(events, device: str) -> dict[str, float]:
    """Milliseconds of a profile's kernels (of its operations on a CPU) by category."""
    found: dict[str, float] = defaultdict(float)
    for event in events:
        if device == 'cuda' and event.device_type != torch.autograd.DeviceType.CUDA:
            continue
        names = (name for name, pattern in KERNELS.items() if re.search(pattern, event.key, re.IGNORECASE))
        found[next(names, 'other')] += (
            event.self_device_time_total if device == 'cuda' else event.self_cpu_time_total
        ) / 1e3
    return dict(found)


def waits(s: Setting) -> Iterator[tuple]:
    """A step in which PyTorch raises an error if the host waits for the device."""
    for on in (False, True):
        step = s.step(**{'model.compile_blocks': on})
        what = f'waits of the host in a step, {"compiled" if on else "eager"}'
        timed(step, 3)  # makes the optimizer's state, compiles
        if s.device.type == 'cuda':
            torch.cuda.set_sync_debug_mode('error')
        try:
            step()
            yield what, 0, '', 0
        except RuntimeError as error:
            yield what, 1, '', 0, str(error).splitlines()[0]
        finally:
            if s.device.type == 'cuda':
                torch.cuda.set_sync_debug_mode('default')


def agreement(s: Setting) -> Iterator[tuple]:
    """The loss of one batch in fp32, on the device and on the CPU."""
    options = {'optim_wrapper.amp_dtype': None, 'model.backbone.drop_path_rate': 0.0, 'model.compile_blocks': False}
    step = s.step(subnet='smallest', **options)
    step.resize(2)
    batch, found = step.next_batch(), []
    for device in (s.device, torch.device('cpu')):
        model = step.model.to(device)
        inputs = model.data_preprocessor(batch, True)['inputs']
        with torch.no_grad():
            found.append(model.compute_losses(**inputs, subnet=step.subnet, teacher_temp=0.07)['loss'].item())
    yield 'relative difference of the losses', abs(found[0] / found[1] - 1), '', 0


def widths(s: Setting) -> Iterator[tuple]:
    """Steps with drawn sub-networks after the warm-up: no step should stand out, nor should memory grow."""
    step = s.step(subnet=DRAWN)
    start = time.perf_counter()
    number = warm_up(step.model, step.next_batch(), step.wrapper.amp_dtype)
    yield f'warm-up of {number} widths', time.perf_counter() - start, 's'
    step()
    if s.device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats()
    times = [timed(step, 1) for _ in range(s.steps)]
    yield 'slowest drawn step', 1e3 * max(times), 'ms', None, f'median {1e3 * sorted(times)[len(times) // 2]:.4g}'
    if s.device.type == 'cuda':
        reserved, allocated = (f() / 2**30 for f in (torch.cuda.max_memory_reserved, torch.cuda.max_memory_allocated))
        yield 'reserved memory', reserved, 'GiB', allocated, 'beside it what was allocated'


def processes(s: Setting) -> Iterator[tuple]:
    """What DistributedDataParallel costs in a single process."""
    step = s.step()
    bare = step.model
    timed(step, 3)
    alone = timed(step, s.steps)
    with tempfile.TemporaryDirectory() as folder:
        store = dist.FileStore(f'{folder}/store', 1)
        dist.init_process_group('nccl' if s.device.type == 'cuda' else 'gloo', store=store, rank=0, world_size=1)
        try:
            ids = [s.device.index or 0] if s.device.type == 'cuda' else None
            options = dict(broadcast_buffers=False, gradient_as_bucket_view=True)
            step.model = MMDistributedDataParallel(bare, device_ids=ids, bucket_cap_mb=100, **options)
            timed(step, 3)
            yield 'step in a process group of one, of the step alone', timed(step, s.steps) / alone, '', 1
        finally:
            step.model = bare
            dist.destroy_process_group()


CHECKS = dict(
    rates=rates,
    steps=steps,
    losses=losses,
    attention=attention,
    widths=widths,
    waits=waits,
    agreement=agreement,
    teacher=teacher,
    processes=processes,
)


def seconds(function: Callable) -> float:
    """Median time of a call."""
    timer = Timer('f()', globals={'f': function}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=0.1).median


def timed(step: TrainingStep, number: int) -> float:
    """Seconds of a step until the device has done it."""
    wait = torch.cuda.synchronize if step.device.type == 'cuda' else lambda: None
    wait()
    start = time.perf_counter()
    for _ in range(number):
        step()
    wait()
    return (time.perf_counter() - start) / number


@contextmanager
def without_compiler(on: bool) -> Iterator[None]:
    """Within it, what would be compiled runs as it is: to try the checks in seconds."""
    with torch._dynamo.config.patch(disable=on):
        yield


def rows(findings: list[Finding]) -> list[list[str]]:
    """Cells of a table."""

    def number(value: float | None) -> str:
        return '' if value is None else f'{value:.4g}'

    return [[f.check, f.what, number(f.measured), number(f.predicted), f.unit, f.note] for f in findings]


def as_json(findings: list[Finding]) -> list[dict]:
    """Findings for a JSON file."""
    return [asdict(finding) for finding in findings]

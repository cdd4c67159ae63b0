"""Measurements put together: one config alone, or two in turn."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence

import torch

from .operations import OperationCounter, product_rate, square_product_rate
from .step import TrainingStep
from .stopwatch import Stopwatch, spread

SQUARE = {'cpu': 2048, 'cuda': 8192}  # large enough that a larger product is not done faster


def benchmark(step: TrainingStep, steps: int = 10, warmup: int = 2) -> dict:
    """Speed, memory, split and operations of a training step.

    Args:
        step: What to measure.
        steps: Number of steps that are timed; the split is taken from further ones.
        warmup: Steps before anything is measured.

    Returns:
        Numbers in seconds, bytes, images and operations; all that JSON can hold. ``split`` adds up to its own steps'
        time, in which on a GPU the host may be slower than in ``seconds_per_step``.
    """
    cuda = step.device.type == 'cuda'
    for _ in range(warmup):
        step()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    seconds = spread(time_in_turn([step], steps, step.device)[0])
    peak = torch.cuda.max_memory_allocated() if cuda else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    first = step.model.step
    with step.watched():
        total = sum(time_in_turn([step], steps, step.device)[0])
    split = step.watch.totals()
    split['other'] = total - sum(split.values())

    # Drawn sub-networks differ in operations: those are counted that the split was taken from.
    counted = steps if step.subnet is None and step.model.sampler else 1
    step.model.step = first
    with OperationCounter() as counter:
        for _ in range(counted):
            step()
    operations = sum(counter.operations.values()) / counted
    rate = operations / seconds['median']
    dtype = step.wrapper.amp_dtype or torch.float32
    rates = {
        'products_of_the_step': product_rate(counter, step.device),
        'large_product': square_product_rate(SQUARE[step.device.type], dtype, step.device),
    }
    return dict(
        device=torch.cuda.get_device_name() if cuda else f'CPU, {torch.get_num_threads()} threads',
        torch=torch.__version__,
        dtype=str(dtype).removeprefix('torch.'),
        images_per_step=step.images,
        subnet=step.subnet and str(step.subnet),
        steps=steps,
        seconds_per_step=seconds,
        images_per_second=step.images / seconds['median'],
        peak_memory=peak,
        split={name: value / steps for name, value in split.items()},
        operations_per_step=operations,
        operations={name: value / counted for name, value in counter.operations.items()},
        rate=rate,
        rates=rates,
        fractions={name: rate / value for name, value in rates.items()},
    )


def compare(first: TrainingStep, second: TrainingStep, steps: int = 10, warmup: int = 2) -> dict:
    """Times of two steps taken in turn, and of every pair the ratio ``second / first``."""
    time_in_turn([first, second], warmup, first.device)
    times = time_in_turn([first, second], steps, first.device)
    return dict(
        steps=steps,
        seconds_per_step=[spread(column) for column in times],
        images_per_second=[step.images / spread(column)['median'] for step, column in zip((first, second), times)],
        ratio=spread([b / a for a, b in zip(*times)]),
    )


def time_in_turn(
    functions: Sequence[Callable], rounds: int, device: torch.device, clock: Callable[[], float] = time.perf_counter
) -> list[list[float]]:
    """Seconds of every call, for every function; they take turns, each going first as often as the others.

    Args:
        functions: What is called, without arguments.
        rounds: Calls of each.
        device: Where they run.
        clock: Seconds, on a CPU.
    """
    watch = Stopwatch(device, clock)
    marks = [[] for _ in functions]
    for number in range(rounds):
        for i in range(len(functions)):
            i = (i + number) % len(functions)
            start = watch.mark()
            functions[i]()
            marks[i].append((start, watch.mark()))
    return [[watch.seconds(*pair) for pair in column] for column in marks]


def describe(result: dict) -> str:
    """The result of :func:`benchmark` for a reader."""
    seconds, lines = result['seconds_per_step'], []
    lines.append(
        f'{result["device"]}, {result["dtype"]}, {result["images_per_step"]} images a step, elastic student '
        f'{result["subnet"] or "drawn"}'
    )
    lines.append(
        f'{seconds["median"]:.4g} s a step (quartiles {seconds["lower_quartile"]:.4g} and '
        f'{seconds["upper_quartile"]:.4g}), {result["images_per_second"]:.4g} images/s, '
        f'peak memory {result["peak_memory"] / 2**30:.2f} GiB'
    )
    total = sum(result['split'].values())
    lines += [f'  {name:20s}{value:10.4f} s {value / total:7.1%}' for name, value in result['split'].items()]
    lines.append(
        f'{result["operations_per_step"] / 1e9:.4g} GFLOP a step: {result["rate"] / 1e9:.4g} GFLOP/s, which is '
        + ', '.join(
            f'{fraction:.1%} of {name.replace("_", " ")} ({result["rates"][name] / 1e9:.4g})'
            for name, fraction in result['fractions'].items()
        )
    )
    return '\n'.join(lines)

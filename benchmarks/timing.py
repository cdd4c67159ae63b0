"""Times of whole steps and of their named parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.benchmark import timer  # the clock; on a GPU it waits for the device first

Part = tuple[object, str, str | Callable[..., str]]


def time_in_turn(functions: Sequence[Callable], rounds: int, clock: Callable[[], float] = timer) -> list[list[float]]:
    """Seconds of every call, per function; they take turns, and each goes first equally often.

    Args:
        functions: Called without arguments.
        rounds: Calls of each.
        clock: Returns seconds.
    """
    times = [[] for _ in functions]
    for number in range(rounds):
        for i in range(len(functions)):
            i = (i + number) % len(functions)
            start = clock()
            functions[i]()
            times[i].append(clock() - start)
    return times


def time_parts(function: Callable[[], Any], parts: Sequence[Part], calls: int = 1) -> dict[str, float]:
    """Seconds per call spent in each named part, and in ``'other'``. Parts must not call each other.

    Args:
        function: What is called.
        parts: For each part its owner (an object or a module), the attribute there that holds the function, and its
            name, which may depend on the arguments.
        calls: Number of calls.
    """
    with ExitStack() as stack:
        for owner, attribute, name in parts:
            stack.enter_context(mock.patch.object(owner, attribute, _recorded(getattr(owner, attribute), name)))
        found = stack.enter_context(profile(activities=[ProfilerActivity.CPU], acc_events=True))
        for _ in range(calls):
            with _span('total'):
                function()
    seconds = {
        event.key[1:]: event.cpu_time_total / 1e6 / calls for event in found.key_averages() if event.key[0] == '/'
    }
    total = seconds.pop('total')
    return {**seconds, 'other': total - sum(seconds.values())}


def _recorded(function: Callable, name: str | Callable[..., str]) -> Callable:
    @wraps(function)
    def recorded(*args, **kwargs):
        with _span(name(*args, **kwargs) if callable(name) else name):
            return function(*args, **kwargs)

    return recorded


@contextmanager
def _span(name: str) -> Iterator[None]:
    """A range of the profiler that ends when the device has done the work."""
    with record_function(f'/{name}'):
        yield
        if torch.cuda.is_available():
            torch.cuda.synchronize()


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, quartiles and extremes."""
    names = ('min', 'lower_quartile', 'median', 'upper_quartile', 'max')
    return {name: float(value) for name, value in zip(names, np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))}


def compare_steps(first: Any, second: Any, steps: int = 10, warmup: int = 2) -> dict:
    """Times of two training steps that take turns, and the ratio ``second / first`` of every pair.

    Args:
        first: Called without arguments; its ``images`` is the number of images of a step.
        second: The same.
        steps: Timed pairs.
        warmup: Pairs before those.
    """
    time_in_turn([first, second], warmup)
    times = time_in_turn([first, second], steps)
    return dict(
        steps=steps,
        seconds_per_step=[spread(column) for column in times],
        images_per_second=[step.images / spread(column)['median'] for step, column in zip((first, second), times)],
        ratio=spread([b / a for a, b in zip(*times)]),
    )

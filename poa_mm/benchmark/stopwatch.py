"""Time on a CPU or a GPU, and what to say of several measurements."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

import numpy as np
import torch


class Stopwatch:
    """Marks in time that do not wait for the device: events on a GPU, the clock on a CPU.

    Args:
        device: Where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._spans: dict[str, list[tuple]] = defaultdict(list)
        self._inside = False

    def mark(self) -> float | torch.cuda.Event:
        """This moment; on a GPU, when all that was asked for until now is done."""
        if self.device.type != 'cuda':
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, start: float | torch.cuda.Event, end: float | torch.cuda.Event) -> float:
        """Time between two marks; waits for the device."""
        if self.device.type != 'cuda':
            return end - start
        end.synchronize()
        return start.elapsed_time(end) / 1000

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Adds what happens inside to the time of a name; a span inside another one belongs to the outer."""
        if self._inside:
            yield
            return
        start, self._inside = self.mark(), True
        with torch.profiler.record_function(name):  # for whoever looks with a profiler
            yield
        self._spans[name].append((start, self.mark()))
        self._inside = False

    def timed(self, function: Callable, name: str | Callable[..., str]) -> Callable:
        """The function inside a span, whose name may depend on the arguments."""

        @wraps(function)
        def wrapped(*args, **kwargs):
            with self.span(name(*args, **kwargs) if callable(name) else name):
                return function(*args, **kwargs)

        return wrapped

    def totals(self) -> Counter:
        """Seconds of every name since the last call; waits for the device."""
        spans, self._spans = self._spans, defaultdict(list)
        return Counter({name: sum(self.seconds(*span) for span in found) for name, found in spans.items()})


def spread(values: list[float]) -> dict[str, float]:
    """Median, quartiles and extremes."""
    names = ('min', 'lower_quartile', 'median', 'upper_quartile', 'max')
    return {name: float(value) for name, value in zip(names, np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))}

"""Time on a CPU or a GPU, and what to say of several measurements."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps

import numpy as np
import torch


class Stopwatch:
    """Marks in time that do not wait for the device: events on a GPU, the clock on a CPU.

    Args:
        device: Where the work is done.
        clock: Seconds, on a CPU.
    """

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.perf_counter) -> None:
        self.device, self.clock = device, clock
        self._spans: dict[str, list[tuple]] = defaultdict(list)
        self._inside = False

    def mark(self) -> float | torch.cuda.Event:
        """This moment; on a GPU, when all that was asked for until now is done."""
        if self.device.type != 'cuda':
            return self.clock()
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
        try:
            yield
            self._spans[name].append((start, self.mark()))
        finally:
            self._inside = False

    def timed(self, function: Callable, name: str | Callable[..., str]) -> Callable:
        """The function inside a span, whose name may depend on the arguments."""

        @wraps(function)
        def wrapped(*args, **kwargs):
            with self.span(name(*args, **kwargs) if callable(name) else name):
                return function(*args, **kwargs)

        return wrapped

    @contextmanager
    def watching(self, parts: Sequence[tuple[object, str, str | Callable[..., str]]]) -> Iterator[None]:
        """Within it, functions add to the time of a name; outside it nothing is in their way.

        Args:
            parts: For each function its owner (an object or a module), its attribute there and the name.
        """
        before = [vars(owner).get(attribute) for owner, attribute, _ in parts]
        for owner, attribute, name in parts:
            setattr(owner, attribute, self.timed(getattr(owner, attribute), name))
        try:
            yield
        finally:
            for (owner, attribute, _), own in zip(parts, before):
                if own is None:  # it is the class's
                    delattr(owner, attribute)
                else:
                    setattr(owner, attribute, own)

    def totals(self) -> Counter:
        """Seconds of every name since the last call; waits for the device."""
        spans, self._spans = self._spans, defaultdict(list)
        return Counter({name: sum(self.seconds(*span) for span in found) for name, found in spans.items()})


def spread(values: list[float]) -> dict[str, float]:
    """Median, quartiles and extremes."""
    names = ('min', 'lower_quartile', 'median', 'upper_quartile', 'max')
    return {name: float(value) for name, value in zip(names, np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))}

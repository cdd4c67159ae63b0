"""Signals that ask a run to stop: the first is remembered, the second ends the process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

# Slurm: SIGUSR1 by --signal, SIGTERM on preemption. Ctrl-C is SIGINT.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)

_received: list[int] = []


def catch_signals() -> None:
    """Remember SIGTERM, SIGUSR1 and SIGINT from here on; again for one of them, the process ends at once.

    To be called before worker processes start: Slurm and the terminal send signals to these too, and a worker that
    ends takes the run with it (see :func:`keep_handlers`). Does nothing outside the main thread, where Python does not
    allow it.
    """
    if threading.current_thread() is threading.main_thread():
        _received.clear()
        for number in SIGNALS:
            signal.signal(number, _remember)


def keep_handlers(initialise: Callable[[int], None] | None, worker: int) -> None:
    """Start a worker process of a dataloader, in which PyTorch has put its own handler of SIGTERM in place of ours.

    Args:
        initialise: The dataloader's own ``worker_init_fn``.
        worker: Number of the worker.
    """
    if signal.getsignal(signal.SIGTERM) is _remember:  # of the parent, as far as Python knows
        signal.signal(signal.SIGTERM, _remember)
    if initialise is not None:
        initialise(worker)


def received() -> int | None:
    """Number of the first signal, ``None`` if there was none."""
    return _received[0] if _received else None


def _remember(number: int, frame: FrameType | None) -> None:
    if _received:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    _received.append(number)

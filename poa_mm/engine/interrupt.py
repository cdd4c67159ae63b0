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
    ends takes the run with it (see :func:`start_worker`). Does nothing outside the main thread, where Python does not
    allow it.
    """
    if threading.current_thread() is threading.main_thread():
        _received.clear()
        for number in SIGNALS:
            signal.signal(number, _remember)


def start_worker(initialise: Callable[[int], None] | None, worker: int) -> None:
    """Start a worker process of a dataloader, which ends by SIGTERM of its parent, or the second one of others.

    PyTorch's handler, which is in place here, ends it by any.

    Args:
        initialise: The dataloader's own ``worker_init_fn``.
        worker: Number of the worker.
    """
    if signal.getsignal(signal.SIGTERM) is _remember:  # in the parent; Python does not know of PyTorch's
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # also in threads that start later
        threading.Thread(target=_end_by_parent, daemon=True).start()
    if initialise is not None:
        initialise(worker)


def _end_by_parent() -> None:
    senders = []
    while os.getppid() not in senders and len(senders) < 2:
        senders.append(signal.sigwaitinfo({signal.SIGTERM}).si_pid)
    os._exit(0)


def received() -> int | None:
    """Number of the first signal, ``None`` if there was none."""
    return _received[0] if _received else None


def _remember(number: int, frame: FrameType | None) -> None:
    if _received:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    _received.append(number)

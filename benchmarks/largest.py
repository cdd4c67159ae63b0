"""The largest batch for which a device has the memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import torch

from poa_mm.errors import UserError

from .training import TrainingStep

# Messages of PyTorch's libraries without memory for their buffers, and of cuDNN when all its algorithms need more.
NO_MEMORY = ('out of memory', 'ALLOC_FAILED', 'not enough memory', 'unable to find an engine', 'valid cuDNN algorithm')


def largest_batch(step: TrainingStep, limit: int, start: int = 2, log: Callable[[str], None] = print) -> int:
    """The largest number of images for which two steps fit into memory; the step is left with it.

    Images are doubled until memory runs out, then halved in between until the answer is known to a sixteenth.

    Args:
        step: With random crops. Give it the intact network as elastic student: any other needs less.
        limit: More images are not tried.
        start: First number of images.
        log: Called with a line for every number that is tried.

    Raises:
        UserError: If memory does not suffice for ``start`` images.
    """

    def tried(images: int) -> bool:
        begin = time.perf_counter()
        done = fits(step, images)
        log(f'{images} images: {"enough" if done else "no"} memory, {time.perf_counter() - begin:.1f} s')
        return done

    benchmark = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False  # cuDNN would search the fastest convolutions anew for each number
    try:
        found = search(tried, start, limit)
    finally:
        torch.backends.cudnn.benchmark = benchmark
    step.resize(found)
    return found


def search(fits: Callable[[int], bool], start: int, limit: int) -> int:
    """The largest number up to ``limit`` that fits, to a sixteenth; every number below one that fits is taken to fit.

    Raises:
        UserError: If ``start`` does not fit.
    """
    good, bad = 0, limit + 1
    tried = min(start, limit)
    while bad - good > max(1, good // 16):
        if fits(tried):
            good = tried
        else:
            bad = tried
        tried = min(2 * good, limit) if bad > limit else (good + bad) // 2
        if bad <= start:
            raise UserError(f'the device has no memory for a step of {start} images')
    return good


def fits(step: TrainingStep, images: int) -> bool:
    """Whether two steps can be done; the second one finds the optimizer's state already there."""
    try:
        step.resize(images)
        for _ in range(2):
            step()
        if step.device.type == 'cuda':
            torch.cuda.synchronize()
        done = True
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        if not no_memory(error):
            raise
        done = False
    # After the exception is gone: its traceback holds the activations.
    step.wrapper.zero_grad()
    release_memory()
    return done


def no_memory(error: RuntimeError) -> bool:
    """Whether an error says that memory ran out."""
    return any(words in str(error) for words in NO_MEMORY)


def release_memory() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

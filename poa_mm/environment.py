"""What a training sets for its process before PyTorch starts; imports nothing heavy."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def set_environment() -> None:
    """Sets what PyTorch reads when it starts, and how the C library keeps memory, unless it is set already.

    Crops, masks and sub-networks of many sizes fragment a GPU's memory less where its segments can grow. Compiled
    kernels are kept in the user's cache folder, so that a run that is resumed does not compile them again. Threads of
    a CPU wait for each other in short loops only, then sleep: as fast alone, and faster where other work runs too.
    Memory that is freed stays in the process: glibc would give every large tensor back, and the kernel would fill
    the pages of the next one with zeros.
    """
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'poa_mm'
    if 'PYTORCH_ALLOC_CONF' not in os.environ:  # the newer name
        os.environ.setdefault('PYTORCH_CUDA_ALLOC_CONF', 'expandable_segments:True')
    os.environ.setdefault('TORCHINDUCTOR_CACHE_DIR', str(cache / 'inductor'))
    if 'OMP_WAIT_POLICY' not in os.environ:  # which chooses the length of the loops too
        os.environ.setdefault('GOMP_SPINCOUNT', '1000')
    if not any(name.startswith('MALLOC_') for name in os.environ):
        mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)  # glibc's
        if mallopt:
            mallopt(M_MMAP_THRESHOLD, 2**30)
            mallopt(M_TRIM_THRESHOLD, 2**31 - 1)

"""Environment variables of a training; imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path


def set_environment() -> None:
    """Sets what PyTorch reads when it starts, unless it is set already.

    Crops, masks and sub-networks of many sizes fragment a GPU's memory less where its segments can grow. Compiled
    kernels are kept in the user's cache folder, so that a run that is resumed does not compile them again. Threads of
    a CPU wait for each other in short loops only, then sleep: as fast alone, and faster where other work runs too.
    """
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'poa_mm'
    if 'PYTORCH_ALLOC_CONF' not in os.environ:  # the newer name
        os.environ.setdefault('PYTORCH_CUDA_ALLOC_CONF', 'expandable_segments:True')
    os.environ.setdefault('TORCHINDUCTOR_CACHE_DIR', str(cache / 'inductor'))
    if 'OMP_WAIT_POLICY' not in os.environ:  # which chooses the length of the loops too
        os.environ.setdefault('GOMP_SPINCOUNT', '1000')

"""``torch.compile`` of the training step: where it is used, and of what."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch

from .backbones.base import ElasticBackbone


def missing_compiler(device: torch.device) -> str | None:
    """What ``torch.compile`` lacks to make kernels for a device, in a few words; ``None`` if nothing."""
    if device.type == 'cpu':
        if not _finds('CXX', 'g++', 'clang++'):
            return 'a C++ compiler (g++, clang++ or CXX) was not found'
    elif find_spec('triton') is None:
        return 'Triton is not installed'
    elif not _finds('CC', 'gcc', 'clang'):
        return 'a C compiler (gcc, clang or CC), which Triton needs, was not found'
    if not Path(sysconfig.get_path('include'), 'Python.h').is_file():
        return "Python's headers are not installed (package python3-dev)"
    return None


def _finds(variable: str, *names: str) -> bool:
    return any(shutil.which(name) for name in [os.environ.get(variable) or names[0], *names])


def compile_backbone(backbone: ElasticBackbone, backend: str | Callable = 'inductor') -> None:
    """Compiles every block at its first calls; sizes that change become variables.

    Blocks of one kind share what was compiled. Of each there is one version without gradients (teacher), one for
    the intact student and one for all sliced widths: what differs from width to width are only sizes. Swin and ResNet
    have many kinds (stage, shift, stride, map smaller than a window) and take minutes.

    Args:
        backbone: Changed in place; parameters, names and checkpoints stay what they are.
        backend: Of ``torch.compile``.
    """
    # Blocks of all stages count against one limit, beyond which PyTorch silently stops compiling.
    torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, 256)
    torch._dynamo.config.accumulated_cache_size_limit = max(torch._dynamo.config.accumulated_cache_size_limit, 1024)
    for prefix in backbone.block_prefixes:
        for block in backbone.get_submodule(prefix.rstrip('.')):
            block.compile(backend=backend)

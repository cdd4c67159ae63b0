"""``torch.compile`` of a backbone's blocks, once for all sub-networks."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .base import ElasticBackbone


def compile_backbone(backbone: ElasticBackbone, backend: str | Callable = 'inductor') -> None:
    """Compiles every block at its first calls; sizes that change become variables.

    Blocks of one kind share what was compiled. Of each there is one version without gradients (teacher), one for
    the intact student and one for all sliced widths: what differs from width to width are only sizes. A Swin has
    many kinds (stage, shift, map smaller than a window) and takes minutes.

    Args:
        backbone: Changed in place; parameters, names and checkpoints stay what they are.
        backend: Of ``torch.compile``.
    """
    # Blocks of all stages count against one limit, beyond which PyTorch silently stops compiling.
    torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, 64)
    for prefix in backbone.block_prefixes:
        for block in backbone.get_submodule(prefix.rstrip('.')):
            block.compile(backend=backend)

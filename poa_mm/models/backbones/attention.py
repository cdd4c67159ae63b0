"""The attention product, computed in the fastest way on the device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from poa_mm.errors import UserError

BACKENDS = ('flash', 'efficient', 'cudnn')
"""PyTorch's kernels of attention on a GPU."""


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """``softmax(q k^T / sqrt(d) + bias) v``.

    PyTorch's ``scaled_dot_product_attention``, but for half precision on a CPU: there its kernel takes 2 to 20
    times as long as the plain products where the sequence is short (docs/benchmarks.md).

    Args:
        q: ``(..., L, d)``.
        k: ``(..., L, d)``.
        v: ``(..., L, d)``.
        bias: Added to the scores; broadcasts to ``(..., L, L)``.

    Returns:
        ``(..., L, d)``.
    """
    if q.device.type == 'cpu' and q.dtype in (torch.bfloat16, torch.float16):
        scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
        scores = scores if bias is None else scores + bias
        return scores.softmax(-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, None if bias is None else bias.to(q.dtype))


def choose_attention(backend: str | None) -> None:
    """Let only one of :data:`BACKENDS` and PyTorch's plain products run; ``None``: PyTorch chooses.

    Flash attention takes no bias, so a Swin then runs plain products. cuDNN builds a plan for every new shape.

    Raises:
        UserError: If the name is unknown.
    """
    if backend not in (None, *BACKENDS):
        raise UserError(f'attention must be one of {BACKENDS} or None, got {backend!r}')
    cuda = torch.backends.cuda
    for name, enable in zip(BACKENDS, (cuda.enable_flash_sdp, cuda.enable_mem_efficient_sdp, cuda.enable_cudnn_sdp)):
        enable(backend in (None, name))

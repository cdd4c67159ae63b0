"""Cross-entropy over many prototypes that stores no softmax."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .fused import fused, is_fusing

# Logits that are worked on at a time where nothing is compiled: on a CPU as many as stay in its cache, on a GPU as many
# as keep it busy. Compiled kernels make no matrices in between and take all at once.
CHUNK = {'cpu': 2**20, 'cuda': 2**26}


class ChunkedCrossEntropy(torch.autograd.Function):
    """``sum_a H(p_a, softmax(z / temperature))``, in fp32, some samples at a time.

    What is kept for the backward pass are the logits as the head gave them (in half precision under autocast) and
    one number a sample; the softmax is computed again. Targets have no gradient.
    """

    @staticmethod
    def forward(ctx, targets: Tensor, logits: Tensor, temperature: float, softmax_targets: bool) -> Tensor:
        """Targets ``(A, N, K)`` and logits ``(R, N, K)`` to ``(R, N)``.

        Args:
            targets: Distributions, ``A`` for every sample, or logits of such.
            logits: Student logits, ``R`` for every sample.
            temperature: Student temperature.
            softmax_targets: Whether targets are logits, turned into distributions by ``softmax(t / temperature)``.
        """
        ctx.arguments, ctx.fused = (temperature, softmax_targets), is_fusing()
        if ctx.fused:
            entropy, logsumexp = entropies.compiled(targets, logits, *ctx.arguments)
        else:
            entropy = logits.new_empty(logits.shape[:2], dtype=torch.float)
            logsumexp = torch.empty_like(entropy)
            for part in parts(logits):
                found = entropies(targets[:, part], logits[:, part], *ctx.arguments)
                entropy[:, part], logsumexp[:, part] = found
        ctx.save_for_backward(targets, logits, logsumexp)
        return entropy

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple:
        """The gradient by the logits; see :func:`gradients`."""
        targets, logits, logsumexp = ctx.saved_tensors
        if ctx.fused:
            return None, gradients.compiled(targets, logits, logsumexp, grad, *ctx.arguments), None, None
        out = torch.empty_like(logits)
        for part in parts(logits):
            some = (tensor[:, part] for tensor in (targets, logits, logsumexp, grad))
            out[:, part] = gradients(*some, *ctx.arguments)
        return None, out, None, None


@fused
def entropies(targets: Tensor, logits: Tensor, temperature: float, softmax_targets: bool) -> tuple[Tensor, Tensor]:
    """Cross-entropies and ``logsumexp(z / temperature)``, both ``(R, N)``; see :class:`ChunkedCrossEntropy`."""
    scores = logits.float() / temperature
    logsumexp = scores.logsumexp(-1)
    target = sum_of_targets(targets, temperature, softmax_targets)
    return len(targets) * logsumexp - (scores * target).sum(-1), logsumexp


@fused
def gradients(
    targets: Tensor, logits: Tensor, logsumexp: Tensor, grad: Tensor, temperature: float, softmax_targets: bool
) -> Tensor:
    """``(A softmax(z / temperature) - sum_a p_a) / temperature`` times the gradient ``(R, N)``: ``(R, N, K)``."""
    softmax = (logits.float() / temperature - logsumexp.unsqueeze(-1)).exp()
    difference = len(targets) * softmax - sum_of_targets(targets, temperature, softmax_targets)
    return (difference * (grad / temperature).unsqueeze(-1)).to(logits.dtype)


def sum_of_targets(targets: Tensor, temperature: float, softmax_targets: bool) -> Tensor:
    """Distributions ``(A, N, K)``, or logits of such, to their sum ``(N, K)``."""
    summands = [target.float() for target in targets.unbind(0)]
    if softmax_targets:
        summands = [(summand / temperature).softmax(-1) for summand in summands]
    return reduce(torch.add, summands)


def parts(logits: Tensor) -> Iterator[slice]:
    """Which samples of logits ``(R, N, K)`` are worked on at a time."""
    repeats, num_samples, num_prototypes = logits.shape
    size = max(1, CHUNK.get(logits.device.type, CHUNK['cuda']) // max(1, repeats * num_prototypes))
    for start in range(0, num_samples, size):
        yield slice(start, start + size)

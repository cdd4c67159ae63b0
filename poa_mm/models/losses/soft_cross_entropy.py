"""Cross-entropy over many prototypes that stores no softmax."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Logits that are worked on at a time: on a CPU as many as stay in its cache, on a GPU as many as keep it busy.
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
        entropy = logits.new_empty(logits.shape[:2], dtype=torch.float)
        logsumexp = torch.empty_like(entropy)
        for part, scores, target in chunks(targets, logits, temperature, softmax_targets):
            logsumexp[:, part] = torch.logsumexp(scores, -1)
            entropy[:, part] = len(targets) * logsumexp[:, part] - scores.mul_(target).sum(-1)
        ctx.save_for_backward(targets, logits, logsumexp)
        ctx.arguments = temperature, softmax_targets
        return entropy

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple:
        """``(A softmax(z / temperature) - sum_a p_a) / temperature`` times the gradient."""
        targets, logits, logsumexp = ctx.saved_tensors
        out = torch.empty_like(logits)
        factor = (grad / ctx.arguments[0]).unsqueeze(-1)
        for part, scores, target in chunks(targets, logits, *ctx.arguments):
            softmax = scores.sub_(logsumexp[:, part].unsqueeze(-1)).exp_()
            out[:, part] = softmax.mul_(len(targets)).sub_(target).mul_(factor[:, part])
        return None, out, None, None


def chunks(
    targets: Tensor, logits: Tensor, temperature: float, softmax_targets: bool
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Samples, their scores ``z / temperature`` ``(R, n, K)`` and their targets' sum ``(n, K)``, part by part."""
    repeats, num_samples, num_prototypes = logits.shape
    size = max(1, CHUNK.get(logits.device.type, CHUNK['cuda']) // max(1, repeats * num_prototypes))
    for start in range(0, num_samples, size):
        part = slice(start, start + size)
        scores = logits[:, part].to(torch.float, copy=True).div_(temperature)
        target = targets[:, part].float()
        if softmax_targets:
            target = (target / temperature).softmax(-1)
        yield part, scores, target.sum(0) if len(target) > 1 else target[0]

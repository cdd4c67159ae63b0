"""Each speed-up of the step against the slow version that it replaced, in turn in one run."""

import argparse
import sys
from pathlib import Path
from statistics import quantiles

import torch
import torch.nn.functional as F

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from poa_mm.benchmark.report import time_in_turn
from poa_mm.elastic import ElasticLinear
from poa_mm.models.backbones.attention import attend
from poa_mm.models.losses import SinkhornKnopp, cross_entropy
from poa_mm.models.poa import take_patches


def with_gradient(function, *inputs):
    """A call forwards and backwards."""
    inputs = [x.detach().requires_grad_() for x in inputs]

    def run():
        out = function(*inputs)
        torch.autograd.grad(out, inputs, torch.ones_like(out))

    return run


def attention(n, heads, length, dim, dtype):
    qkv = [torch.randn(n, heads, length, dim, dtype=dtype) for _ in range(3)]
    return with_gradient(F.scaled_dot_product_attention, *qkv), with_gradient(attend, *qkv)


def slice_scale(tokens, size, full):
    x, layer = torch.randn(tokens, size), ElasticLinear(full, 4 * full)
    n = 4 * size

    def multiplied(x):
        return F.linear(x * (full / size), layer.weight[:n, :size], layer.bias[:n])

    return with_gradient(multiplied, x), with_gradient(layer, x)


def cross_entropies(rows, prototypes):
    targets, logits = torch.randn(rows, prototypes).softmax(-1), torch.randn(rows, prototypes)

    def plain(logits):
        return -(targets * (logits / 0.1).log_softmax(-1)).sum(-1)

    return with_gradient(plain, logits), with_gradient(lambda s: cross_entropy(targets, s, 0.1), logits)


def sinkhorn(rows, prototypes):
    logits, balance = torch.randn(rows, prototypes).clamp(-1, 1), SinkhornKnopp()

    def matrix():
        q = (logits / 0.04).exp().T
        q = q / q.sum()
        for _ in range(3):
            q = q / q.sum(1, keepdim=True) / prototypes
            q = q / q.sum(0, keepdim=True) / rows
        return (q * rows).T

    return matrix, lambda: balance([logits], 0.04)


def patches(n, length, dim):
    x, index = torch.randn(n, length, dim), torch.randperm(n * length)[: n * length // 3].sort().values
    return with_gradient(lambda x: x.flatten(0, 1)[index], x), with_gradient(lambda x: take_patches(x, index), x)


PARTS = {
    'attention, bf16, (64, 6, 65, 32)': lambda: attention(64, 6, 65, 32, torch.bfloat16),
    'attention, bf16, (128, 6, 17, 32)': lambda: attention(128, 6, 17, 32, torch.bfloat16),
    'attention, bf16, (16, 6, 197, 64)': lambda: attention(16, 6, 197, 64, torch.bfloat16),
    'slice scale in the product, 4096 tokens, 512 of 1024': lambda: slice_scale(4096, 512, 1024),
    'cross-entropy in chunks, 200 x 16384': lambda: cross_entropies(200, 16384),
    'cross-entropy in chunks, 200 x 2048': lambda: cross_entropies(200, 2048),
    'Sinkhorn-Knopp by factors, 128 x 16384': lambda: sinkhorn(128, 16384),
    'masked patches by index_select, (32, 196, 384)': lambda: patches(32, 196, 384),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=20, help='pairs of calls (20)')
    args = parser.parse_args()
    if args.rounds < 4:
        parser.error(f'--rounds must be at least 4, got {args.rounds}')
    print('| change | time, of the slow version | quartiles |\n| --- | --- | --- |')
    for name, build in PARTS.items():
        versions = build()
        versions[0].device = torch.device('cpu')  # whose clock to read
        time_in_turn(versions, 3)
        slow, fast = time_in_turn(versions, args.rounds)
        low, median, high = quantiles([b / a for a, b in zip(slow, fast)], n=4)
        print(f'| {name} | {median:.2f} | {low:.2f} to {high:.2f} |', flush=True)


if __name__ == '__main__':
    main()

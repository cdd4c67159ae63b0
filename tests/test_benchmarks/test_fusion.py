"""The model of Inductor's fusion, by hand."""

import pytest
import torch
from torch import nn

from benchmarks.fake_gpu import GPU, fake_gpu
from benchmarks.fusion import fuse

N, D = 64, 32
ROW, MATRIX = 4 * D, 4 * N * D


@pytest.fixture
def recorder():
    with fake_gpu() as recorder:
        yield recorder


def kernels(recorder):
    """Names and bytes of the kernels since the last call."""
    found = [(kernel.name, kernel.bytes) for kernel in fuse(recorder.operations)]
    recorder.operations.clear()
    return found


def test_pointwise_operations_join(recorder):
    x, y = torch.randn(N, D, device=GPU), torch.randn(N, D, device=GPU)
    recorder.operations.clear()

    def function(x, y):
        return (x + y).exp() * y

    function(x, y)
    assert [size for _, size in kernels(recorder)] == [3 * MATRIX, 2 * MATRIX, 3 * MATRIX]
    torch.compile(function)(x, y)
    assert kernels(recorder) == [('fused', 3 * MATRIX)]


def test_products_divide_kernels(recorder):
    x, w = torch.randn(N, D, device=GPU), torch.randn(D, D, device=GPU)
    recorder.operations.clear()
    torch.compile(lambda x, w: (x.exp().neg() @ w).exp().neg())(x, w)
    assert kernels(recorder) == [('fused', 2 * MATRIX), ('mm', 2 * MATRIX + 4 * D * D), ('fused', 2 * MATRIX)]


def test_what_others_read_is_written(recorder):
    x = torch.randn(N, D, device=GPU)
    recorder.operations.clear()
    y = torch.compile(lambda x: [x.exp(), x.exp().neg()])(x)
    assert kernels(recorder) == [('exp', 2 * MATRIX), ('fused', 2 * MATRIX)]
    z = torch.compile(lambda x: (lambda e: (e, e.neg()))(x.exp()))(x)
    z[0] + y[0]
    assert kernels(recorder)[::-1] == [('fused', 3 * MATRIX), ('add', 3 * MATRIX)]


def test_norms_join_what_is_around_them(recorder):
    x, norm = torch.randn(N, D, device=GPU).requires_grad_(), nn.LayerNorm(D, device=GPU)
    grad = torch.randn(N, D, device=GPU, dtype=torch.bfloat16)
    recorder.operations.clear()
    torch.compile(lambda x: norm(x + 1).bfloat16())(x).backward(grad)
    statistics, half = 2 * 4 * N, MATRIX // 2
    forward, backward, gradients = kernels(recorder)
    # x + 1 is kept for the backward pass.
    assert forward == ('fused', 2 * MATRIX + half + 2 * ROW + statistics)
    # Reads gradient, x + 1, statistics, weight and bias, writes three gradients; the second kernel reads the first two.
    assert backward[1] == half + MATRIX + statistics + 2 * ROW + MATRIX + 2 * ROW
    assert gradients == ('sum', half + MATRIX)


def test_sums_over_rows_and_indexed_reads_stay_apart(recorder):
    x, index = torch.randn(N, D, device=GPU), torch.arange(N // 2, device=GPU)
    recorder.operations.clear()
    torch.compile(lambda x: x.exp().sum(0).neg())(x)
    assert kernels(recorder) == [('fused', MATRIX + ROW), ('neg', 2 * ROW)]
    torch.compile(lambda x: (lambda e: (e.neg(), e.sum(0)))(x.exp()))(x)
    assert kernels(recorder) == [('fused', 3 * MATRIX), ('sum', MATRIX + ROW)]
    torch.compile(lambda x: x.exp().index_select(0, index).neg())(x)
    assert kernels(recorder) == [('exp', 2 * MATRIX), ('fused', MATRIX + index.nbytes)]


def test_backward_pass_is_a_region_of_its_own(recorder):
    x, y = torch.randn(N, D, device=GPU).requires_grad_(), torch.randn(N, D, device=GPU)
    recorder.operations.clear()
    out = torch.compile(lambda x: (x * y).neg() * y)(x)
    assert kernels(recorder) == [('fused', 3 * MATRIX)]
    out.backward(y)
    assert kernels(recorder) == [('fused', 2 * MATRIX)]  # the gradient is y: one read, one write


def test_upcasts_are_never_written(recorder):
    x, norm = torch.randn(N, D, device=GPU, dtype=torch.bfloat16).requires_grad_(), nn.LayerNorm(D, device=GPU)
    grad = torch.randn(N, D, device=GPU, dtype=torch.bfloat16)
    recorder.operations.clear()
    torch.compile(lambda x: norm(x.float()).bfloat16())(x).backward(grad)
    half, statistics = MATRIX // 2, 2 * 4 * N
    forward, backward, gradients = kernels(recorder)
    assert forward == ('fused', 2 * half + 2 * ROW + statistics)
    assert backward[1] == 3 * half + statistics + 2 * ROW + 2 * ROW
    assert gradients == ('sum', 2 * half)

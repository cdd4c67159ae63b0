"""Counts against PyTorch's counter and by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import operations
from benchmarks.operations import OperationCounter, product_rate, square_product_rate
from benchmarks.training import TrainingStep

CPU = torch.device('cpu')


def test_count_is_pytorch_s_where_that_is_complete():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(2), nn.Linear(36, 20), nn.GELU(), nn.Linear(20, 4, bias=False))
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    with FlopCounterMode(display=False) as expected:
        model(x).sum().backward()
    with OperationCounter() as counter:
        model(x).sum().backward()
    assert sum(counter.flops.values()) == expected.get_total_flops()
    forward = 2 * 2 * (36 * 8 * 27 + 8 * 36 * 20 + 8 * 20 * 4)
    assert sum(counter.flops.values()) == 3 * forward


def test_attention_on_the_cpu():
    q, k, v = torch.randn(3, 2, 4, 10, 8, requires_grad=True)
    one_product = 2 * 2 * 4 * 10 * 10 * 8
    with OperationCounter() as counter:
        out = F.scaled_dot_product_attention(q, k, v)
    assert sum(counter.flops.values()) == 2 * one_product
    with OperationCounter() as counter:
        out.sum().backward()
    assert sum(counter.flops.values()) == 5 * one_product  # the scores are computed again


def test_whole_step(config):
    """Against PyTorch's counter, for which attention is made of products."""
    step = TrainingStep(config, CPU)
    step.model.eval()  # without drop path the plain products of attention are as many as the kernel's
    with OperationCounter() as counter:
        step()
    with FlopCounterMode(display=False) as expected, sdpa_kernel(SDPBackend.MATH):
        step()
    backward = counter.flops['_scaled_dot_product_flash_attention_for_cpu_backward']
    # The kernel's fifth product of the backward pass is the scores once more.
    assert sum(counter.flops.values()) - backward // 5 == expected.get_total_flops()


def test_rate_weighs_every_product_by_its_calls(monkeypatch):
    a, b, c = torch.randn(4, 6), torch.randn(6, 8), torch.randn(4, 8)
    with OperationCounter() as counter:
        for _ in range(3):
            torch.mm(a, b)
        torch.addmm(c, a, b)
        torch.mm(a, torch.randn(8, 6).t())  # same sizes, another layout
    assert [(product.calls, product.flops) for product in counter.products.values()] == [(3, 384), (1, 384), (1, 384)]
    seconds = iter([1.0, 10.0, 100.0])
    ran = []
    monkeypatch.setattr(operations, '_seconds', lambda f, a, k, *_: ran.append(f(*a, **k)) or next(seconds))
    assert product_rate(counter, CPU) == pytest.approx(5 * 384 / (3 * 1 + 10 + 100))
    assert [tuple(out.shape) for out in ran] == [(4, 8)] * 3
    monkeypatch.setattr(operations, '_seconds', lambda *_, **__: 0.5)
    assert square_product_rate(100, torch.bfloat16, CPU) == 2 * 100**3 / 0.5


def test_every_product_of_a_step_can_be_repeated(config):
    step = TrainingStep(config, CPU)
    with OperationCounter() as counter:
        step()
    assert {'mm', 'addmm', 'convolution', 'convolution_backward'} <= set(counter.flops)
    assert product_rate(counter, CPU, repeats=1) > 0

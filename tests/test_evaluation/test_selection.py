"""The front, the budget and the choice; similarity without labels."""

import numpy as np
import pytest
import torch

from poa_mm.elastic import Subnet
from poa_mm.errors import UserError
from poa_mm.evaluation import selection
from poa_mm.evaluation.selection import Budget, Choice, linear_cka, near_front, pareto_front, select


def choice(name, params, macs, quality):
    return Choice(Subnet(len(name), 1), name, params, macs, quality)


CHOICES = [choice('a', 1, 1, 50), choice('bb', 2, 3, 60), choice('ccc', 3, 2, 58), choice('dddd', 4, 4, 59)]


def test_front_has_what_no_other_beats():
    assert [c.name for c in pareto_front(CHOICES, 'params')] == ['a', 'bb']
    assert [c.name for c in pareto_front(CHOICES, 'macs')] == ['a', 'ccc', 'bb']
    assert [c.name for c in near_front(CHOICES, 'params', 1)] == ['a', 'bb', 'dddd']
    assert [c.name for c in near_front(CHOICES, 'params', 0)] == ['a', 'bb']


def test_best_within_the_budget():
    best, allowed = select(CHOICES, Budget(params=3), None)
    assert best.name == 'bb' and len(allowed) == 3
    assert select(CHOICES, Budget(params=3, macs=2.5), None)[0].name == 'ccc'
    with pytest.raises(UserError, match='no sub-network fits the limits; the smallest is a with 1'):
        select(CHOICES, Budget(params=0.5), None)
    for limits in ({}, dict(params=0), dict(latency=-1)):
        with pytest.raises(UserError):
            Budget(**limits)


def test_latency_is_measured_near_the_front_only(monkeypatch):
    times = {1: 1.0, 2: 9.0, 3: 2.0, 4: 3.0}
    measured = []

    def measure(backbone, subnet, **timing):
        measured.append(subnet.width)
        return times[subnet.width]

    monkeypatch.setattr(selection, 'measure_latency', measure)
    best, allowed = select(CHOICES, Budget(latency=5), None, most=0)
    assert best.name == 'ccc' and sorted(measured) == [1, 2, 3]
    assert [c.latency for c in allowed] == [1.0, 9.0, 2.0, None]
    assert select(CHOICES, Budget(latency=5), None, most=1)[0].name == 'dddd'
    with pytest.raises(UserError, match=r'a with .* 1\.00 ms'):
        select(CHOICES, Budget(latency=0.5), None)


def test_similarity_equals_the_kernel_form():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 5, generator=generator), torch.randn(20, 8, generator=generator)
    centre = np.eye(20) - 1 / 20
    k, m = (centre @ (z.double().numpy() @ z.double().numpy().T) @ centre for z in (x, y))
    expected = np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m))
    assert linear_cka(x, y) == pytest.approx(expected, abs=1e-12)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=generator))[0]
    assert linear_cka(x, 3 * x @ rotation) == pytest.approx(1, abs=1e-6)

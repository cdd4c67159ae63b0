"""The grid of linear classifiers against one PyTorch module and optimizer for each."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from poa_mm.evaluation.linear import LEARNING_RATES, LinearGrid, cosine_factor

KINDS = {'last': slice(4, 8), 'all': slice(0, 8), 'last + mean patch': slice(4, 10), 'all + mean patch': slice(0, 10)}


def batches(steps):
    rng = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 10, generator=rng)
    for _ in range(steps):
        labels = torch.randint(3, (16,), generator=rng)
        yield centres[labels] + torch.randn(16, 10, generator=rng), labels


def test_equals_one_module_for_each_setting():
    rates = [0.01, 0.3, 2.0]
    grid = LinearGrid(KINDS, rates, 3, seed=5)
    twins = {}
    for kind, columns in KINDS.items():
        for i, rate in enumerate(rates):
            layer = nn.Linear(columns.stop - columns.start, 3)
            layer.load_state_dict(dict(weight=grid.weights[kind][i].clone(), bias=torch.zeros(3)))
            twins[kind, i] = layer, torch.optim.SGD(layer.parameters(), lr=rate, momentum=0.9)
    assert all(0.005 < weight.std() < 0.02 for weight in grid.weights.values())
    steps = 25
    for step, (features, labels) in enumerate(batches(steps)):
        grid.step(features, labels, len(labels), cosine_factor(step, steps))
        for (kind, i), (layer, optimizer) in twins.items():
            optimizer.param_groups[0]['lr'] = rates[i] * cosine_factor(step, steps)
            optimizer.zero_grad()
            F.cross_entropy(layer(features[:, KINDS[kind]]), labels).backward()
            optimizer.step()
    features, labels = next(batches(1))
    right = grid.correct(features, labels)
    for row, kind in enumerate(KINDS):
        for i in range(len(rates)):
            layer = twins[kind, i][0]
            torch.testing.assert_close(grid.weights[kind][i], layer.weight.data, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(grid.biases[kind][i], layer.bias.data, rtol=1e-4, atol=1e-5)
            expected = (layer(features[:, KINDS[kind]]).argmax(1) == labels).sum()
            assert right[row, i] == expected
            one = grid.classifier(kind, i)
            assert torch.equal(one['weight'], grid.weights[kind][i]) and slice(*one['columns']) == KINDS[kind]


def test_the_paper_s_rates_and_schedule():
    expected = [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1]
    assert list(LEARNING_RATES) == pytest.approx(expected)
    assert [cosine_factor(step, 10) for step in (0, 5, 10)] == pytest.approx([1, 0.5, 0])


def test_shares_of_a_batch_add_up():
    """A process may have fewer images than the others, or none."""
    features, labels = next(batches(1))
    whole, parts = LinearGrid(KINDS, [0.5], 3), LinearGrid(KINDS, [0.5], 3)
    parts.momentum = 1.0  # velocities add up, as gradients of processes do
    whole.step(features, labels, 16)
    for part in (slice(0, 5), slice(5, 5), slice(5, 16)):
        parts.step(features[part], labels[part], 16, factor=0.0)
    for kind in KINDS:
        for one, other in zip(whole.velocity[kind], parts.velocity[kind]):
            torch.testing.assert_close(one, other)

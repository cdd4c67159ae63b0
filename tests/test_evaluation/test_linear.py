"""The grid of linear classifiers against one PyTorch module and optimizer for each."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from poa_mm.evaluation.linear import LEARNING_RATES, GridTrainer, LinearGrid
from poa_mm.evaluation.linear_protocol import LINEAR_DEFAULTS
from tests.helpers import program_values as program

KINDS = {'last': slice(4, 8), 'all': slice(0, 8), 'last + mean patch': slice(4, 10), 'all + mean patch': slice(0, 10)}


def batches(steps):
    rng = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 10, generator=rng)
    for _ in range(steps):
        labels = torch.randint(3, (16,), generator=rng)
        yield centres[labels] + torch.randn(16, 10, generator=rng), labels


def classifiers(grid):
    """Weight (C, F) and bias (C,) of each classifier, by kind and rate."""
    rates = range(len(grid.learning_rates))
    return {(kind, i): grid.classifier(kind, i) for kind in grid.kinds for i in rates}


def test_equals_one_module_for_each_setting():
    rates, steps = [0.01, 0.3, 2.0], 25
    grid = LinearGrid(KINDS, rates, 3, seed=5)
    twins = {}
    for (kind, i), one in classifiers(grid).items():
        assert slice(*one['columns']) == KINDS[kind] and 0.005 < one['weight'].std() < 0.02 and not one['bias'].any()
        layer = nn.Linear(KINDS[kind].stop - KINDS[kind].start, 3)
        layer.load_state_dict(dict(weight=one['weight'], bias=one['bias']))
        twins[kind, i] = layer, torch.optim.SGD(layer.parameters(), lr=rates[i], momentum=0.9)
    trainer = GridTrainer({'a': grid}, steps, batch=16)
    for step, (features, labels) in enumerate(batches(steps)):
        trainer.step({'a': features}, labels)
        for (kind, i), (layer, optimizer) in twins.items():
            optimizer.param_groups[0]['lr'] = rates[i] * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimizer.zero_grad()
            F.cross_entropy(layer(features[:, KINDS[kind]]), labels).backward()
            optimizer.step()
    assert trainer.scheduler.get_last_lr() == [pytest.approx(0, abs=1e-9)]
    features, labels = next(batches(1))
    right = grid.correct(features, labels)
    for (kind, i), one in classifiers(grid).items():
        layer = twins[kind, i][0]
        torch.testing.assert_close(one['weight'], layer.weight.data, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one['bias'], layer.bias.data, rtol=1e-4, atol=1e-5)
        expected = (layer(features[:, KINDS[kind]]).argmax(1) == labels).sum()
        assert right[list(KINDS).index(kind), i] == expected


def test_the_learning_rates_of_the_paper():
    expected = [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1]
    assert list(LEARNING_RATES) == pytest.approx(expected)


def test_shares_of_a_batch_add_up():
    """A process may have fewer images than the others, or none."""
    features, labels = next(batches(1))
    whole, parts = LinearGrid(KINDS, [0.5, 0.1], 3), LinearGrid(KINDS, [0.5, 0.1], 3)
    whole.loss(features, labels, 16).backward()
    for part in (slice(0, 5), slice(5, 5), slice(5, 16)):
        parts.loss(features[part], labels[part], 16).backward()
    for one, other in zip(whole.parameters(), parts.parameters()):
        torch.testing.assert_close(one.grad, other.grad)


def test_continues_from_its_state():
    trainers = [GridTrainer({'a': LinearGrid(KINDS, [0.5, 0.1], 3, seed)}, 6, batch=16) for seed in (0, 1)]
    for i, (features, labels) in enumerate(batches(6)):
        if i == 3:
            trainers[1].load_state_dict(copy.deepcopy(trainers[0].state_dict()))
        for trainer in trainers[: 1 + (i >= 3)]:
            trainer.step({'a': features}, labels)
    for one, other in zip(trainers[0].parameters, trainers[1].parameters):
        assert torch.equal(one, other)


def test_batch_and_steps_of_the_program():
    defaults = (LINEAR_DEFAULTS['total_batch'], LINEAR_DEFAULTS['iters'])
    assert defaults == (program.LINEAR_BATCH, program.LINEAR_STEPS)

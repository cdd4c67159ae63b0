"""The formulas of the prediction against the distribution of the draws and real processes."""

import json

import numpy as np
import pytest
import torch

from benchmarks import scale
from benchmarks.scale import Machine, costs, traffic
from poa_mm.elastic import SubnetSampler, SubnetSpace
from poa_mm.elastic.sampler import relative_cost
from poa_mm.registry import MODELS
from tests.helpers import scale_runs
from tests.helpers.processes import in_processes

VIT = SubnetSpace(range(384, 1025, 64), [range(12, 25)])


def test_costs_against_the_distribution():
    """Draws of different processes are independent: the largest of n is distributed as the n-th power."""
    sampler = SubnetSampler(VIT, mode='per_rank')
    pool = np.sort([relative_cost(VIT, subnet) for subnet in sampler.pool])
    assert costs(sampler, 1, len(pool)).mean() == pytest.approx(pool.mean())
    cumulated = np.arange(1, len(pool) + 1) / len(pool)
    expected = (np.diff(cumulated**8, prepend=0) * pool).sum()
    assert costs(sampler, 8, 4 * len(pool)).max(1).mean() == pytest.approx(expected, rel=0.01)
    assert costs(SubnetSampler(VIT, mode='shared'), 8).max(1).mean() == pytest.approx(pool.mean())
    by_cost = SubnetSampler(VIT, mode='by_cost', cost_classes=4)
    largest = [pool[np.sort(by_cost.cost_class) == c].max() for c in range(4)]
    assert pool.mean() < costs(by_cost, 8).max(1).mean() < np.mean(largest)


@pytest.mark.parametrize('processes', [2, 4])
def test_real_processes_send_and_draw_what_is_counted(processes):
    steps = 3
    results = in_processes(processes, scale_runs.run, steps)
    with torch.device('meta'):
        model = MODELS.build(scale_runs.CONFIG)
    counted, drawn = traffic(model), costs(model.sampler, processes, steps)
    for rank, found in enumerate(results):
        assert tuple(found['reduced']) == counted.sinkhorn
        assert sum(found['buckets']) == counted.gradients
        assert found['drawn'] == list(drawn[:, rank])


def test_ring():
    machine = Machine(link=100, network=10, gpus_per_node=4, latency=5)
    assert machine.all_reduce(1e9, 1) == 0
    assert machine.all_reduce(1e9, 4) == pytest.approx(5e-6 + 1.5 * 0.01)
    assert machine.all_reduce(1e9, 8) == pytest.approx(5e-6 + 1.75 * 0.1)


def test_command(command, config_file, tmp_path, capsys):
    out = tmp_path / 'out.json'
    assert command(scale, config_file, '--gpus', 1, 16, '--network', 1, '--out', out) == 0
    rows = json.loads(out.read_text())['result']
    assert [(row['gpus'], row['mode']) for row in rows] == [(1, 'per_rank'), *((16, mode) for mode in scale.MODES)]
    for row in rows:
        assert row['step'] == pytest.approx(sum(row[part] for part in scale.PARTS))
    one, per_rank, by_cost, shared = rows
    assert one['waiting'] == one['gradients'] == one['Sinkhorn'] == 0 == shared['waiting']
    assert per_rank['waiting'] > by_cost['waiting'] > 0 and per_rank['gradients'] > 0
    assert 'by_cost' in capsys.readouterr().out

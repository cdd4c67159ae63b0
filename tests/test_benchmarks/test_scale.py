import numpy as np
import pytest

from benchmarks import scale
from benchmarks.scale import slowest
from poa_mm.elastic import SubnetSampler, SubnetSpace
from poa_mm.elastic.sampler import relative_cost

VIT = SubnetSpace(range(384, 1025, 64), [range(12, 25)])


def test_slowest_against_the_distribution():
    """Draws of different processes are independent: the largest of n is distributed as the n-th power."""
    sampler = SubnetSampler(VIT)
    costs = np.sort([relative_cost(VIT, subnet) for subnet in sampler.pool])
    assert slowest(sampler, 1, passes=1) == pytest.approx(costs.mean())
    cumulated = np.arange(1, len(costs) + 1) / len(costs)
    expected = (np.diff(cumulated**8, prepend=0) * costs).sum()
    assert slowest(sampler, 8, passes=4) == pytest.approx(expected, rel=0.01)
    assert slowest(SubnetSampler(VIT, mode='shared'), 8, passes=1) == pytest.approx(costs.mean())
    by_cost = SubnetSampler(VIT, mode='by_cost', cost_classes=4)
    largest = [costs[np.sort(by_cost.cost_class) == c].max() for c in range(4)]
    assert costs.mean() < slowest(by_cost, 8, passes=1) < np.mean(largest)


def test_command(command, config_file, capsys):
    assert command(scale, config_file, '--processes', 4) == 0
    shares = [float(line.split('}')[1].split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert len(shares) == 5 and shares[0] > shares[1]

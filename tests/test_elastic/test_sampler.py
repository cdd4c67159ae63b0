from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from poa_mm.elastic import SubnetSampler, SubnetSpace
from poa_mm.elastic.sampler import relative_cost
from poa_mm.errors import UserError

VIT = SubnetSpace(range(384, 1025, 64), [range(12, 25)])
SWIN = SubnetSpace((96, 112, 128), [(2,), (2,), range(6, 19), (2,)], 2)
RESNET = SubnetSpace((64, 96, 128), [(3,), range(4, 9), range(6, 37), (3,)], None)


@pytest.mark.parametrize(
    'space, width_strength, depth_strength, size', [(VIT, 3, 3, 572), (SWIN, 2, 2, 88), (RESNET, 1, 2, 698)]
)
def test_bag(space, width_strength, depth_strength, size):
    sampler = SubnetSampler(space, width_strength=width_strength, depth_strength=depth_strength)
    assert len(sampler.pool) == size
    assert space.intact not in sampler.pool
    for subnet, copies in sampler.copies.items():
        i, n = space.widths.index(subnet.width), len(space.widths)
        j, m = space.depths.index(subnet.depth), len(space.depths)
        width_factor = width_strength - (width_strength - 1) * i / (n - 1)
        depth_factor = depth_strength - (depth_strength - 1) * j / (m - 1)
        assert abs(copies - width_factor * depth_factor) <= 0.5 + 1e-9


def test_some_widths_are_drawn():
    """Their strengths fall over the drawn widths alone; the intact network is of none of them."""
    space = SubnetSpace([384, 576, 768, 960, 1024], [[12, 16, 20, 24]])
    sampler = SubnetSampler(space, widths=[384, 576, 768, 960])
    assert len(sampler.copies) == 16 and {subnet.width for subnet in sampler.pool} == {384, 576, 768, 960}
    of = {(subnet.width, subnet.depth): n for subnet, n in sampler.copies.items()}
    assert of[384, 12] == 9 and of[384, 24] == of[960, 12] == 3 and of[960, 24] == 1
    for widths in ([], [384, 400]):
        with pytest.raises(UserError, match='widths of the sampler must be of the space'):
            SubnetSampler(space, widths=widths)


def test_some_depths_are_drawn():
    sampler = SubnetSampler(RESNET, depths=[[3, 4, 6, 3], [3, 8, 36, 3]], width_strength=1, depth_strength=3)
    of = {(subnet.width, subnet.depth): n for subnet, n in sampler.copies.items()}
    assert of == {
        **{(width, (3, 4, 6, 3)): 3 for width in (64, 96, 128)},
        **{(width, (3, 8, 36, 3)): 1 for width in (64, 96)},
    }
    with pytest.raises(UserError, match=r'depths of the sampler must be of the space, .* got \[9\]'):
        SubnetSampler(VIT, depths=[9])
    with pytest.raises(UserError, match='leave nothing but the intact network'):
        SubnetSampler(VIT, widths=[1024], depths=[24])


def test_stages_follow_each_other():
    corners = dict(widths=[384, 1024], depths=[12, 24])
    stages = [dict(steps=50, **corners), dict(steps=30, width_strength=1.0)]
    sampler = SubnetSampler(VIT, seed=1, mode='shared', stages=stages)
    drawn = [sampler(step) for step in range(200)]
    first = SubnetSampler(VIT, seed=1, mode='shared', **corners)
    second, last = (
        SubnetSampler(VIT, seed=1, mode='shared', width_strength=1.0),
        SubnetSampler(VIT, seed=1, mode='shared'),
    )
    assert drawn == [[first, second, last][(step >= 50) + (step >= 80)](step) for step in range(200)]
    assert {str(subnet) for subnet in drawn[:50]} == {'384x12', '384x24', '1024x12'}
    assert sampler.copies == last.copies and len(set(drawn[80:])) > 50
    for stage, message in [
        (dict(widths=[384]), 'needs its number of steps, at least 1, got 0'),
        (dict(steps=9, width=[384]), r"unknown keys \['width'\]"),
        (dict(steps=9, depths=[3]), 'depths of the sampler must be of the space'),
    ]:
        with pytest.raises(UserError, match=message):
            SubnetSampler(VIT, stages=[stage])


def test_one_pass_uses_the_whole_bag():
    sampler = SubnetSampler(VIT, seed=3)
    for pass_ in range(2):
        drawn = Counter(sampler(pass_ * 572 + i) for i in range(572))
        assert drawn == sampler.copies


@pytest.mark.parametrize('mode', SubnetSampler.modes)
def test_frequencies_by_chi_square(mode):
    """Over ranks and steps that end in mid-pool, draws follow the copies."""
    sampler = SubnetSampler(VIT, seed=0, mode=mode)
    # One step per pass, far apart: draws without replacement would be too even for the test.
    steps = range(0, 572 * 3000, 572)
    drawn = Counter(sampler(step, rank=step % 7) for step in steps)
    observed = [drawn[s] for s in sampler.copies]
    expected = np.array(list(sampler.copies.values())) / 572 * len(steps)
    assert chisquare(observed, expected).pvalue > 1e-3
    # The test has power: equal frequencies are refused.
    assert chisquare(observed, np.full(142, len(steps) / 142)).pvalue < 1e-6


def test_pure_function_of_seed_step_rank():
    first, again = SubnetSampler(VIT, seed=1), SubnetSampler(VIT, seed=1)
    calls = [(step, rank) for step in (0, 5, 571, 572, 10_000) for rank in (0, 1, 31)]
    forward = [first(*call) for call in calls]
    backward = [again(*call) for call in reversed(calls)]
    assert forward == backward[::-1]
    assert forward != [SubnetSampler(VIT, seed=2)(*call) for call in calls]


def test_modes():
    per_rank, shared = SubnetSampler(VIT, mode='per_rank'), SubnetSampler(VIT, mode='shared')
    assert len({shared(7, rank) for rank in range(32)}) == 1
    assert len({per_rank(7, rank) for rank in range(32)}) > 16
    by_cost = SubnetSampler(VIT)
    assert all(by_cost(step) == per_rank(step) == shared(step) for step in range(600))


def test_stages_have_their_own_number_of_cost_classes():
    corners = dict(steps=10, widths=[384, 1024], depths=[24], width_strength=1.0, depth_strength=1.0)
    assert len(SubnetSampler(VIT, stages=[corners]).stages[0][1].pool) == 1  # fewer than 8 classes


@pytest.mark.parametrize('space', [VIT, SWIN, RESNET])
def test_by_cost_draws_from_one_class_and_uses_the_whole_bag(space):
    sampler = SubnetSampler(space, seed=5, mode='by_cost', cost_classes=6)
    sizes = Counter(sampler.cost_class.tolist())
    assert sorted(sizes) == list(range(6)) and max(sizes.values()) - min(sizes.values()) <= 1
    costs = np.array([relative_cost(space, subnet) for subnet in sampler.pool])
    for lower, upper in zip(range(5), range(1, 6)):
        assert costs[sampler.cost_class == lower].max() <= costs[sampler.cost_class == upper].min()

    bounds = [(costs[sampler.cost_class == c].min(), costs[sampler.cost_class == c].max()) for c in range(6)]
    drawn = [[sampler(step, rank) for step in range(2 * len(sampler.pool))] for rank in range(4)]
    for subnets in drawn:
        assert Counter(subnets) == {subnet: 2 * n for subnet, n in sampler.copies.items()}
    assert len({tuple(subnets) for subnets in drawn}) == 4
    for step in zip(*drawn):
        found = [relative_cost(space, subnet) for subnet in step]
        assert any(low <= min(found) and max(found) <= high for low, high in bounds)


def test_one_cost_class_is_per_rank():
    per_rank, by_cost = SubnetSampler(VIT, mode='per_rank'), SubnetSampler(VIT, mode='by_cost', cost_classes=1)
    assert all(per_rank(step, rank) == by_cost(step, rank) for step in (0, 9, 600) for rank in range(5))


def test_cost_is_that_of_the_parameters():
    vit = [relative_cost(VIT, subnet) for subnet in (VIT.parse('384x12'), VIT.parse('768x12'), VIT.intact)]
    assert vit == pytest.approx([9 / 64 / 2, 9 / 16 / 2, 1])
    assert relative_cost(SWIN, SWIN.parse('96x6')) == pytest.approx(9 / 16 * 12 / 24)
    assert relative_cost(RESNET, RESNET.parse('64x3-4-6-3')) == pytest.approx(1 / 4 * 16 / 50)


def test_strength_one_is_uniform():
    assert set(SubnetSampler(VIT, width_strength=1, depth_strength=1).copies.values()) == {1}


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(mode='random'), 'mode must be one of'),
        (dict(mode='by_cost', cost_classes=0), 'from 1 to the 572 entries'),
        (dict(width_strength=0.5), 'width_strength must be at least 1'),
        (dict(space=SubnetSpace([64], [(2,)])), 'nothing but the intact'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        SubnetSampler(**{'space': VIT, **kwargs})

"""The step that is measured is the step that is trained."""

import copy

import pytest
import torch

from benchmarks.timing import time_parts
from benchmarks.training import TrainingStep
from poa_mm.elastic.sampler import relative_cost

CPU = torch.device('cpu')


def test_a_call_is_one_optimizer_step(config):
    step = TrainingStep(config, CPU)
    assert step.images == 2 * 3  # two accumulation steps
    before = {k: v.clone() for k, v in step.model.state_dict().items()}
    step()
    (state, *_) = step.wrapper.optimizer.state.values()
    assert state['step'] == 1 and step.number == 1
    after = step.model.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert {name.split('.')[0] for name in moved} == {'backbone', 'head', 'teacher'}
    name = 'head.heads.0.last_layer.weight_v'
    expected = torch.lerp(before[f'teacher.{name}'], after[name], 0.001)
    torch.testing.assert_close(after[f'teacher.{name}'], expected)


def test_subnets(config):
    step = TrainingStep(config, CPU)
    sampler, space = TrainingStep(config, CPU, subnet='drawn').model.sampler, step.model.backbone.space
    costs = [relative_cost(space, subnet) for subnet in sampler.pool]
    distance = abs(relative_cost(space, step.subnet) - sum(costs) / len(costs))
    assert distance == min(abs(cost - sum(costs) / len(costs)) for cost in costs)
    assert step.model.sampler(0, 0) == step.model.sampler(5, 3) == step.subnet
    assert len({sampler(number) for number in range(20)}) > 3
    assert str(TrainingStep(config, CPU, subnet='48x3').subnet) == '48x3'
    with pytest.raises(ValueError, match='unknown sub-network'):
        TrainingStep(config, CPU, subnet='small')


def test_random_crops_have_the_shapes_of_the_data(config):
    noise, images = (next(TrainingStep(config, CPU, real_data=real).batches)['inputs'] for real in (False, True))
    assert noise.keys() == images.keys()
    for name in ('global_crops', 'local_crops', 'masks'):
        assert noise[name].shape == images[name].shape and noise[name].dtype == images[name].dtype
    assert noise['mask_indices'].numel() > 0
    assert len(next(TrainingStep(config, CPU, batch_size=5).batches)['inputs']['global_crops']) == 10


def test_parts_cover_the_step_and_leave_no_trace(config):
    step = TrainingStep(config, CPU)
    objects = [step, step.wrapper, *step.model.modules()]
    before = [copy.copy(vars(o)) for o in objects]
    split = time_parts(step, step.parts())
    names = ['data', 'teacher', 'intact student', 'elastic student', 'heads', 'targets and losses', 'backward']
    assert set(split) == {*names, 'optimizer', 'EMA', 'other'}
    # Parts do not overlap, and little is in none of them.
    assert 0 < split['other'] < 0.5 * sum(split.values())
    assert [vars(o).keys() for o in objects] == [b.keys() for b in before]


def test_other_models_are_refused(config):
    config.model = dict(type='MultiPrototypeHead', embed_dims=8)
    with pytest.raises(ValueError, match='POA pre-training, not of MultiPrototypeHead'):
        TrainingStep(config, CPU)

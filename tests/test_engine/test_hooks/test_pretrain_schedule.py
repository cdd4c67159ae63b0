import pytest

from poa_mm.elastic import SubnetSampler, SubnetSpace
from poa_mm.engine import PretrainScheduleHook


@pytest.mark.parametrize('counts', [1, 2])
def test_model_knows_the_time(make_runner, counts):
    hook = dict(type='PretrainScheduleHook', temp_start=0.04, temp_final=0.07, temp_steps=3, patch_loss_start=2)
    runner = make_runner(steps=5, accumulative_counts=counts, hooks=[hook])
    model, patch = runner.model, []
    model.register_forward_pre_hook(lambda *args: patch.append(model.patch_loss))
    runner.train()
    steps = [0, 1, 2, 3, 4]
    temps = [0.04, 0.05, 0.06, 0.07, 0.07]
    expected = [(s, pytest.approx(t)) for s, t in zip(steps, temps) for _ in range(counts)]
    assert model.seen == expected
    assert patch == [s >= 2 for s in steps for _ in range(counts)]


def test_never_a_patch_loss(make_runner):
    hook = PretrainScheduleHook(0.04, 0.07, 0, None)
    runner = make_runner(steps=1, hooks=[hook])
    runner.train()
    assert runner.model.patch_loss is False
    assert runner.model.teacher_temp == 0.07


@pytest.mark.parametrize('given, expected', [(None, 7), (3, 3)])
def test_the_sampler_follows_the_seed_of_the_run(make_runner, given, expected):
    runner = make_runner(steps=1, hooks=[PretrainScheduleHook(0.04, 0.07, 0, None)])
    runner.set_randomness(seed=7)
    runner.model.sampler = SubnetSampler(SubnetSpace((32, 64), [(2, 3)]), seed=given)
    runner.train()
    assert runner.model.sampler.seed == expected


def test_wrong_values():
    with pytest.raises(ValueError, match=r'Temperatures.* 0 '):
        PretrainScheduleHook(0, 0.07, 10, 0)
    with pytest.raises(ValueError, match='temp_steps'):
        PretrainScheduleHook(0.04, 0.07, -1, 0)

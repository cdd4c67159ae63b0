import math

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from poa_mm.engine import CosineLR, CosineWeightDecay, ProportionalCosineLR
from poa_mm.registry import PARAM_SCHEDULERS


def _wrapper():
    groups = [
        dict(params=[nn.Parameter(torch.zeros(1))], lr=0.1),
        dict(params=[nn.Parameter(torch.zeros(1))], lr=0.1 * 0.9**3, weight_decay=0.0),
    ]
    return OptimWrapper(torch.optim.AdamW(groups, lr=0.1, weight_decay=0.04))


def _formula(step, start, final, total, warmup=0):
    if step < warmup:
        return start * step / warmup
    return final + 0.5 * (start - final) * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def _values(wrapper, key):
    return [group[key] for group in wrapper.optimizer.param_groups]


def test_lr_keeps_the_ratio_of_groups():
    wrapper = _wrapper()
    scheduler = CosineLR(wrapper, steps=8, final=0.01, warmup=2, run_fraction=0.8)
    for step in range(8):
        expected = _formula(step, 0.1, 0.01, 10, 2)
        assert _values(wrapper, 'lr') == pytest.approx([expected, expected * 0.9**3])
        assert wrapper.get_lr()['base_lr'] == pytest.approx([expected])
        scheduler.step()
    for _ in range(5):
        scheduler.step()
    assert _values(wrapper, 'lr') == pytest.approx([0.01, 0.01 * 0.9**3])


def test_weight_decay_grows_and_zero_stays_zero():
    wrapper = _wrapper()
    scheduler = CosineWeightDecay(wrapper, steps=10, final=0.4)
    for step in range(10):
        assert _values(wrapper, 'weight_decay') == pytest.approx([_formula(step, 0.04, 0.4, 10), 0])
        scheduler.step()


def test_closed_form_forgets_what_a_hook_wrote():
    wrapper = _wrapper()
    scheduler = CosineLR(wrapper, steps=10, final=0.01)
    wrapper.optimizer.param_groups[0]['lr'] = 0.0
    scheduler.step()
    assert _values(wrapper, 'lr')[0] == pytest.approx(_formula(1, 0.1, 0.01, 10))


def test_resume():
    wrapper = _wrapper()
    scheduler = CosineLR(wrapper, steps=10, final=0.01, warmup=2)
    for _ in range(5):
        scheduler.step()
    resumed_wrapper = _wrapper()
    resumed = CosineLR(resumed_wrapper, steps=10, final=0.01, warmup=2)
    resumed.load_state_dict(scheduler.state_dict())
    for _ in range(4):
        assert resumed_wrapper.get_lr() == wrapper.get_lr()
        scheduler.step()
        resumed.step()


def test_built_as_the_runner_builds():
    """The runner adds ``end`` (in epochs, as it takes schedulers for epoch-based) and the epoch's length."""
    wrapper = _wrapper()
    cfg = dict(type='CosineLR', steps=10, final=0.01, end=1)
    scheduler = PARAM_SCHEDULERS.build(cfg, default_args=dict(optimizer=wrapper, epoch_length=7))
    assert not scheduler.by_epoch
    scheduler.step()
    scheduler.step()
    assert _values(wrapper, 'lr')[0] == pytest.approx(_formula(2, 0.1, 0.01, 10))


def test_layers_end_in_proportion_not_at_one_rate():
    wrapper = _wrapper()
    # The scale of a sliced weight may give a group more than the config's learning rate.
    wrapper.optimizer.add_param_group(dict(params=[nn.Parameter(torch.zeros(1))], lr=0.1 * 0.9 * 2.7))
    scheduler = ProportionalCosineLR(wrapper, T_max=10, eta_min=0.01, by_epoch=False)
    for step in range(11):
        expected = _formula(step, 0.1, 0.01, 10)
        assert _values(wrapper, 'lr') == pytest.approx([expected, expected * 0.9**3, expected * 0.9 * 2.7])
        wrapper.optimizer.step()
        scheduler.step()


def test_wrong_values():
    with pytest.raises(ValueError, match='final=2e-05'):
        CosineLR(_wrapper(), steps=10, final=0.01, end=2e-5)
    with pytest.raises(ValueError, match='warmup'):
        CosineLR(_wrapper(), steps=10, final=0.01, warmup=10)
    wrapper = OptimWrapper(torch.optim.AdamW([nn.Parameter(torch.zeros(1))], weight_decay=0.0))
    with pytest.raises(ValueError, match='weight_decay must be above 0'):
        CosineWeightDecay(wrapper, steps=10, final=0.4)

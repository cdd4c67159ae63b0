"""What would silently train wrongly is found before the first step."""

import dataclasses
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import InfiniteSampler

from poa_mm.datasets import DemoDataset, SeededInfiniteSampler, ViewsDataset, multi_crop_collate
from poa_mm.engine.hooks import TeacherEMAHook
from poa_mm.engine.hooks.start_check import check_crops, check_sampler, check_schedules, check_start, check_wrapper
from poa_mm.engine.schedulers import CosineLR
from poa_mm.errors import UserError
from poa_mm.registry import MODELS
from tests.helpers.networks import RESNET, SWIN, VIT

HEAD = dict(type='MultiPrototypeHead', num_prototypes=(8,), hidden_dims=16, bottleneck_dims=8)


def model(backbone=VIT):
    torch.manual_seed(0)
    return MODELS.build(dict(type='POA', backbone=backbone, head=HEAD))


def runner_of(size=32, grid=(4, 4), sampler=SeededInfiniteSampler, hooks=(), schedulers=(), steps=10):
    views = dict(
        global_1=dict(size=size, scale=(0.3, 1)),
        global_2=dict(size=size, scale=(0.3, 1)),
        local=dict(size=16, number=2, scale=(0.05, 0.3)),
    )
    dataset = ViewsDataset(DemoDataset(num_samples=8, image_size=48), views)
    loader = SimpleNamespace(
        dataset=dataset,
        sampler=sampler(dataset),
        collate_fn=partial(multi_crop_collate, grid=grid, mask_ratio=(0.1, 0.5)),
    )
    return SimpleNamespace(
        train_dataloader=loader,
        train_loop=SimpleNamespace(max_iters=steps),
        hooks=list(hooks),
        param_schedulers=list(schedulers),
    )


def test_another_sampler():
    check_sampler(runner_of())
    with pytest.raises(UserError, match='must be SeededInfiniteSampler, got InfiniteSampler'):
        check_sampler(runner_of(sampler=InfiniteSampler))


def test_unused_parameters_nobody_searches_for():
    both, elastic = SimpleNamespace(students=('intact', 'elastic')), SimpleNamespace(students=('elastic',))
    wrapped = [SimpleNamespace(model=SimpleNamespace(find_unused_parameters=search)) for search in (True, False)]
    for runner, student in ((wrapped[0], elastic), (wrapped[1], both), (SimpleNamespace(model=elastic), elastic)):
        check_wrapper(runner, student)
    with pytest.raises(UserError, match='leaves blocks without a gradient'):
        check_wrapper(wrapped[1], elastic)


def test_a_teacher_that_never_moves_and_schedules_of_other_lengths(monkeypatch):
    def schedules(steps, ema_steps):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        hooks = [TeacherEMAHook(0.9, 1.0, steps=ema_steps, run_fraction=0.5)]
        return runner_of(hooks=hooks, schedulers=[CosineLR(optimizer, steps=steps, final=0.1)])

    check_schedules(schedules(10, 10))
    with pytest.raises(UserError, match='has no TeacherEMAHook'):
        check_schedules(runner_of())
    with pytest.raises(UserError, match=r'CosineLR has steps=9, but train_cfg\.max_iters is 10'):
        check_schedules(schedules(9, 10))
    with pytest.raises(UserError, match='TeacherEMAHook has steps=5'):
        check_schedules(schedules(10, 5))
    logged = []
    monkeypatch.setattr('poa_mm.engine.hooks.start_check.print_log', lambda message, *args: logged.append(message))
    check_schedules(schedules(10, 20))
    assert len(logged) == 1 and 'TeacherEMAHook has steps=20' in logged[0]


@pytest.mark.parametrize(
    'other, message',
    [
        (SWIN, 'backbone.cls_token is not in the file'),
        (dict(VIT, widths=(16, 48, 8)), r'backbone.cls_token is \(1, 1, 48\) .* \(1, 1, 32\)'),
        (dict(VIT, depths=(2, 3)), r'backbone.layers.3.*is not in the file; .* more'),
    ],
)
def test_load_from_of_another_network(other, message, tmp_path):
    path = str(tmp_path / 'start.pth')
    torch.save(dict(state_dict=model().state_dict()), path)
    check_start(path, model())
    torch.save(dict(state_dict=model(other).state_dict()), path)
    with pytest.raises(UserError, match=message) as stopped:
        check_start(path, model())
    assert '\n' not in str(stopped.value)


@pytest.mark.parametrize(
    'backbone, size, fits, others',
    [
        (VIT, 16, (2, 2), [(4, 4), (1, 4), (14, 14)]),
        (SWIN, 64, (4, 4), [(8, 8), (2, 2), (2, 8)]),
        (RESNET, 64, (4, 4), [(8, 8), (2, 2), (2, 8)]),
    ],
)
def test_mask_grid(backbone, size, fits, others):
    network = model(backbone).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    check_crops(runner_of(size, fits), network)
    assert network.training and all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    for grid in others:
        with pytest.raises(UserError, match=rf'grid=\({grid[0]}, {grid[1]}\) does not fit global crops of {size} px'):
            check_crops(runner_of(size, grid), network)


def test_crops_that_the_backbone_cannot_take():
    runner = runner_of(16, (2, 2))
    views = runner.train_dataloader.dataset.views
    for change, message in (
        (dict(size=20), 'views.local.size=20 does not fit the backbone'),
        (dict(number=0), 'views.local.number must be at least 1, got 0'),
    ):
        runner.train_dataloader.dataset.views = {**views, 'local': dataclasses.replace(views['local'], **change)}
        with pytest.raises(UserError, match=message):
            check_crops(runner, model())

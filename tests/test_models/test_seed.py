"""SEED against its formulas, and in two processes."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

import poa_mm
from poa_mm.engine.hooks.backbone_check import check_backbone
from poa_mm.engine.start_file import find_pretrained
from poa_mm.errors import UserError
from poa_mm.extraction import export_subnet, open_network
from poa_mm.models.seed import image_feature
from poa_mm.registry import MODELS
from tests.helpers import program_values as program
from tests.helpers.distillation import LARGE, SMALL, build, images, save_networks, teacher, two_steps
from tests.helpers.networks import RESNET, SWIN, VIT
from tests.helpers.processes import in_processes

CONFIGS = Path(poa_mm.__file__).parents[1] / 'configs'
SEED_CONFIGS = sorted(path.stem for path in CONFIGS.glob('seed_*.py'))


def test_loss_and_queue(tmp_path):
    backbone, model = save_networks(tmp_path), build(tmp_path)
    assert model.queue.shape == (10, 24) and model.projector[-1].out_features == 24
    torch.testing.assert_close(model.queue.norm(dim=1), torch.ones(10))
    places = list(range(10))
    for step in range(4):  # the queue is full after the third
        queue, x = model.queue.clone(), images(step)
        loss = model.loss(dict(global_crops=x))['loss']
        with torch.no_grad():
            t = backbone.image_features(x, '24x3').double()
            s = model.projector(model.backbone.image_features(x)).double()
        t, s = t / t.norm(dim=1, keepdim=True), s / s.norm(dim=1, keepdim=True)
        expected = 0
        for i in range(4):
            bank = torch.cat([queue.double(), t[i : i + 1]])
            p, q = (bank @ t[i] / 0.01).exp(), (bank @ s[i] / 0.2).exp()
            expected -= (p / p.sum() * (q / q.sum()).log()).sum() / 4
        torch.testing.assert_close(loss.double(), expected, rtol=1e-4, atol=1e-5)
        for i in range(4):
            queue[places[(4 * step + i) % 10]] = t[i].float()
        torch.testing.assert_close(model.queue, queue)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.projector.parameters())


def test_teacher_is_frozen_and_not_saved(tmp_path):
    save_networks(tmp_path)
    model = build(tmp_path)
    assert not any('teacher' in name for name in model.state_dict()) and len(list(model.parameters())) < 50
    before = {k: v.clone() for k, v in model.teacher.state_dict().items()}
    model.train()
    assert not model.teacher.training
    model.loss(dict(global_crops=images(0)))['loss'].backward()
    assert all(p.grad is None for p in model.teacher.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.teacher.state_dict().items())
    model.double()
    assert model.teacher.backbone.cls_token.dtype == torch.float64  # it goes where the model goes


@pytest.mark.parametrize('config', [VIT, SWIN, RESNET], ids=['vit', 'swin', 'resnet'])
def test_the_teacher_gives_the_image_feature_of_its_family(config, random_backbone, tmp_path):
    backbone = random_backbone(config)
    subnet = list(backbone.space)[1]
    file = export_subnet(backbone, subnet, tmp_path, {})
    frozen = MODELS.build({'_scope_': 'poa_mm', **teacher(file)['teacher']})
    frozen.init_weights()
    x = torch.randn(2, 3, 64, 64) if config is not VIT else images(0, 2)
    with torch.no_grad():
        expected = backbone.image_features(x, subnet)
    assert expected.shape[1] == teacher(file)['teacher_dims']
    torch.testing.assert_close(image_feature(frozen(x)), expected, rtol=1e-4, atol=1e-5)


def test_the_student_starts_from_a_file(tmp_path):
    backbone = save_networks(tmp_path)
    start = dict(type='Pretrained', checkpoint=f'{tmp_path}/16x2.pth', prefix='backbone.')
    model = build(tmp_path, backbone={**SMALL, 'init_cfg': start})
    with torch.no_grad():
        expected = backbone.image_features(images(0), '16x2')
        torch.testing.assert_close(model.backbone.image_features(images(0)), expected, rtol=1e-4, atol=1e-5)
    check_backbone(model.backbone, start)
    with pytest.raises(UserError, match='does not fit the backbone'):
        check_backbone(model.backbone, {**start, 'checkpoint': f'{tmp_path}/24x3.pth'})


def test_wrong_values(tmp_path):
    save_networks(tmp_path)
    with pytest.raises(UserError, match=r'temperatures positive, got 10, 0 and 0\.2'):
        build(tmp_path, teacher_temp=0)
    with pytest.raises(UserError, match='one size, but this backbone has 9'):
        build(tmp_path, backbone=LARGE)


@pytest.mark.parametrize('name', SEED_CONFIGS)
def test_config_trains_and_is_evaluated(name, tmp_path):
    """Two steps with tiny networks on generated images; the checkpoint opens as the student."""
    save_networks(tmp_path)
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    assert (cfg.model.teacher_temp, cfg.model.student_temp) == (0.01, 0.2)
    if 'vitl' in name:
        assert cfg.model.queue_size == 65536 and cfg.model.backbone.widths == [384 if 'vits' in name else 768]
        assert cfg.optim_wrapper.total_batch == program.SEED_BATCH
        passes = cfg.train_cfg.max_iters * program.SEED_BATCH / 1_281_167
        assert passes == pytest.approx(300 if '600' in name else 600, rel=1e-3)  # of two views each
        assert all(scheduler.steps == cfg.train_cfg.max_iters for scheduler in cfg.param_scheduler)
    student = cfg.model.backbone.type
    assert student == 'ElasticVisionTransformer' and cfg.model.teacher.type == 'FrozenBackbone'
    assert cfg.model.teacher_dims == cfg.model.teacher.backbone.arch.embed_dims
    cfg.model.update(queue_size=8, **teacher(tmp_path / '24x3.pth'))
    cfg.model.backbone.update(SMALL)
    views = cfg.train_dataloader.dataset.views
    views.global_1.size = views.global_2.size = 16
    assert views.local.number == 0
    cfg.train_dataloader.collate_fn.grid = (2, 2)
    cfg.train_dataloader.dataset.dataset = dict(type='DemoDataset', num_samples=8, image_size=24)
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False, pin_memory=False)
    cfg.train_dataloader.sampler.batch_size = 2
    cfg.optim_wrapper.update(batch_size=2, total_batch=4)
    cfg.train_cfg.max_iters = 2
    cfg.default_hooks.checkpoint.interval = cfg.train_cfg.max_iters
    cfg.work_dir, cfg.experiment_name, cfg.log_level = str(tmp_path / 'run'), name, 'WARNING'
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.optim_wrapper.skipped_steps == 0
    path = tmp_path / 'run' / f'iter_{cfg.train_cfg.max_iters}.pth'
    opened = open_network(path)  # the student, for there is no teacher in the file
    assert torch.equal(opened.backbone.cls_token, runner.model.backbone.cls_token)


def test_a_teacher_that_does_not_fit_is_refused(tmp_path):
    save_networks(tmp_path)
    cfg = teacher(tmp_path / '24x3.pth')['teacher']
    cfg['backbone']['init_cfg']['checkpoint'] = f'{tmp_path}/16x2.pth'
    model = MODELS.build({'_scope_': 'poa_mm', 'type': 'SEED', 'backbone': SMALL, 'teacher': cfg, 'teacher_dims': 24})
    with pytest.raises(UserError, match='does not fit the backbone'):
        check_backbone(*find_pretrained(model, 'teacher'))


def test_teacher_dims_must_be_those_of_the_teacher(tmp_path):
    save_networks(tmp_path)
    cfg = dict(teacher(tmp_path / '24x3.pth'), teacher_dims=16)
    model = MODELS.build({'_scope_': 'poa_mm', 'type': 'SEED', 'backbone': SMALL, 'queue_size': 4, **cfg})
    with pytest.raises(UserError, match='teacher_dims is 16, but the teacher gives 24 numbers'):
        model.loss(dict(global_crops=images(0, 2)))


def test_two_processes_equal_one(tmp_path):
    save_networks(tmp_path)
    losses, queue = two_steps(tmp_path)
    two = in_processes(2, two_steps, tmp_path)
    torch.testing.assert_close((two[0][0] + two[1][0]) / 2, losses)
    for _, other in two:
        torch.testing.assert_close(other, queue)

"""Recovery against its formula, and that it recovers."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.runner import Runner

import poa_mm
from poa_mm.errors import UserError
from poa_mm.extraction import open_network
from poa_mm.registry import MODELS
from tests.helpers.distillation import LARGE, SMALL, images, save_networks

CONFIG = Path(poa_mm.__file__).parents[1] / 'configs/recover_vit_small.py'


def start(folder, subnet):
    return dict(type='Pretrained', checkpoint=f'{folder}/{subnet}.pth', prefix='backbone.')


def networks(folder):
    large = {**LARGE, 'widths': [24], 'depths': [3], 'init_cfg': start(folder, '24x3')}
    return dict(
        backbone={**SMALL, 'init_cfg': start(folder, '16x2')},
        teacher=dict(type='FrozenBackbone', backbone=large),
    )


def build(folder, **kwargs):
    torch.manual_seed(1)
    model = MODELS.build({'_scope_': 'poa_mm', 'type': 'Recovery', **networks(folder), **kwargs})
    model.init_weights()
    return model


def test_loss_is_smooth_l1_of_whitened_features(tmp_path):
    elastic, x = save_networks(tmp_path), images(0)
    model = build(tmp_path, patch_weight=0.5, beta=0.7)
    losses = model.loss(dict(global_crops=x))
    with torch.no_grad():
        (wanted,), (found,) = elastic([x], subnet='24x3'), elastic([x], subnet='16x2')
    expected = {}
    for name, t, s in zip(('image', 'patch'), wanted, found):
        t = (t - t.mean(-1, keepdim=True)) / (t.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        difference = (F.linear(s, model.projectors[name].weight, model.projectors[name].bias) - t).abs()
        expected[name] = torch.where(difference < 0.7, difference**2 / 1.4, difference - 0.35).mean()
        torch.testing.assert_close(losses[name], expected[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses['loss'], expected['image'] + 0.5 * expected['patch'], rtol=1e-4, atol=1e-5)
    losses['loss'].backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
    assert not any('teacher' in name for name in model.state_dict())
    assert all(p.grad is None for p in model.teacher.parameters())


def test_wrong_values(tmp_path):
    save_networks(tmp_path)
    with pytest.raises(UserError, match=r'beta must be positive, got 1\.0 and 0'):
        build(tmp_path, beta=0)
    with pytest.raises(UserError, match='the student of Recovery has one size, but this backbone has 9'):
        build(tmp_path, backbone=LARGE)
    static = dict(type='mmpretrain.VisionTransformer', arch='deit-t', img_size=32, patch_size=16)
    for teacher in (LARGE, static):
        with pytest.raises(UserError, match='the teacher of Recovery is an elastic backbone of one size'):
            build(tmp_path, teacher=dict(type='FrozenBackbone', backbone=teacher))


def test_the_student_comes_nearer(tmp_path):
    """On images that it has not seen, in a few steps."""
    save_networks(tmp_path)
    model, test = build(tmp_path), dict(global_crops=images(99, 32))
    before = float(model.loss(test)['loss'])
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    for step in range(60):
        optimizer.zero_grad()
        model.loss(dict(global_crops=images(step, 16)))['loss'].backward()
        optimizer.step()
    assert float(model.loss(test)['loss']) < 0.8 * before


def test_config_trains_and_the_checkpoint_opens_as_the_student(tmp_path):
    """Two steps with tiny networks on generated images."""
    save_networks(tmp_path)
    cfg = Config.fromfile(CONFIG)
    assert (cfg.model.backbone.widths, cfg.model.teacher.backbone.depths) == ([96], [8])
    cfg.model.update(networks(tmp_path))
    views, loader = cfg.train_dataloader.dataset.views, cfg.train_dataloader
    views.global_1.size = views.global_2.size = 16
    assert views.local.number == 0
    loader.collate_fn.grid = (2, 2)
    loader.dataset.dataset = dict(type='DemoDataset', num_samples=8, image_size=24)
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    loader.sampler.batch_size = 2
    cfg.optim_wrapper.update(batch_size=2, total_batch=4)
    cfg.train_cfg.max_iters = cfg.default_hooks.checkpoint.interval = 2
    cfg.work_dir, cfg.experiment_name, cfg.log_level = str(tmp_path / 'run'), 'recover', 'WARNING'
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.optim_wrapper.skipped_steps == 0
    opened = open_network(tmp_path / 'run/iter_2.pth')
    assert [str(subnet) for subnet in opened.backbone.space] == ['16x2']
    assert torch.equal(opened.backbone.cls_token, runner.model.backbone.cls_token)

"""SEED against its formulas, and in two processes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

import poa_mm
from poa_mm.extraction import export_subnet, open_network
from poa_mm.registry import MODELS

CONFIGS = Path(poa_mm.__file__).parents[1] / 'configs'
VIT = dict(type='ElasticVisionTransformer', img_size=16, patch_size=8, head_dim=8, layer_scale_init_value=0.5)
LARGE, SMALL = dict(VIT, widths=(16, 32, 8), depths=(2, 4)), dict(VIT, widths=(16, 16, 8), depths=(2, 2))


def save_teacher(folder):
    """A pre-training checkpoint and an extracted file of one of its sub-networks."""
    torch.manual_seed(0)
    backbone = MODELS.build({'_scope_': 'poa_mm', **LARGE})
    for parameter in backbone.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    cfg = Config(dict(model=dict(type='POA', backbone=LARGE)))
    weights = {f'teacher.backbone.{k}': v for k, v in backbone.state_dict().items()}
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, iter=7), state_dict=weights), Path(folder, 'iter_7.pth'))
    export_subnet(backbone.eval(), '16x2', folder, {})
    return backbone


def build(folder, **kwargs):
    torch.manual_seed(1)
    teacher = kwargs.pop('teacher', dict(file=f'{folder}/iter_7.pth', subnet='24x3'))
    return MODELS.build(
        {'_scope_': 'poa_mm', **dict(type='SEED', backbone=SMALL, teacher=teacher, queue_size=10, **kwargs)}
    )


def images(seed, n=4):
    return torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_loss_and_queue(tmp_path):
    backbone, model = save_teacher(tmp_path), build(tmp_path)
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
    save_teacher(tmp_path)
    model = build(tmp_path)
    assert not any('frozen' in name for name in model.state_dict()) and len(list(model.parameters())) < 50
    before = {k: v.clone() for k, v in model.frozen.state_dict().items()}
    model.train()
    assert not model.frozen.training
    model.loss(dict(global_crops=images(0)))['loss'].backward()
    assert all(p.grad is None for p in model.frozen.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.frozen.state_dict().items())
    model.double()
    assert model.frozen.cls_token.dtype == torch.float64  # it goes where the model goes


def test_any_file_is_a_teacher_or_a_start(tmp_path):
    backbone = save_teacher(tmp_path)
    extracted = dict(file=f'{tmp_path}/16x2.pth')
    model = build(tmp_path, teacher=extracted, student_init=dict(file=f'{tmp_path}/iter_7.pth', subnet='16x2'))
    model.init_weights()
    x = images(0)
    with torch.no_grad():
        expected = backbone.image_features(x, '16x2')
        torch.testing.assert_close(model.frozen.image_features(x), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model.backbone.image_features(x), expected, rtol=1e-4, atol=1e-5)
    model = build(tmp_path, student_init=dict(file=f'{tmp_path}/iter_7.pth', subnet='24x2'))
    with pytest.raises(ValueError, match='does not fit the config: cls_token is'):
        model.init_weights()


def test_wrong_values(tmp_path):
    backbone = save_teacher(tmp_path)
    with pytest.raises(ValueError, match=r"nowhere\.pth' does not exist"):
        build(tmp_path, teacher=dict(file='nowhere.pth'))
    with pytest.raises(ValueError, match='a network is given as file'):
        build(tmp_path, teacher=dict(path='x'))
    with pytest.raises(ValueError, match=r'temperatures positive, got 10, 0 and 0\.2'):
        build(tmp_path, teacher_temp=0)
    with pytest.raises(ValueError, match='one size, but this backbone has 9'):
        MODELS.build(dict(type='SEED', backbone=LARGE, teacher=dict(file='x')))
    extracted = dict(file=export_subnet(backbone, '24x2', tmp_path, dict(branch='teacher')))
    assert str(build(tmp_path, teacher=dict(extracted, subnet='24x2', branch='teacher')).subnet) == '24x2'
    with pytest.raises(ValueError, match="unknown sub-network 'nonsense'; allowed are widths 24; depths 2 to 2"):
        build(tmp_path, teacher=dict(extracted, subnet='nonsense'))
    with pytest.raises(ValueError, match=r"24x2\.pth was extracted from the teacher: branch cannot be 'student'"):
        build(tmp_path, teacher=dict(extracted, branch='student'))


@pytest.mark.parametrize('name', ['seed_vitl_to_vits', 'seed_vitl_to_vitb', 'seed_vit_small'])
def test_config_trains_and_is_evaluated(name, tmp_path):
    """Two steps with tiny networks on generated images; the checkpoint opens as the student."""
    save_teacher(tmp_path)
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    assert (cfg.model.teacher_temp, cfg.model.student_temp) == (0.01, 0.2)
    if 'vitl' in name:
        width = dict(vits=384, vitb=768)[name.rsplit('_', 1)[1]]
        assert cfg.model.queue_size == 65536 and cfg.model.backbone.widths[:2] == (width, width)
    cfg.model.update(queue_size=8, teacher=dict(file=f'{tmp_path}/iter_7.pth'))
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


def two_steps(folder, rank, size):
    """Mean losses and the queue after two steps of this process's share of eight images."""
    model = build(folder)
    share = slice(8 // size * rank, 8 // size * (rank + 1))
    losses = [model.loss(dict(global_crops=images(step, 8)[share]))['loss'].detach() for step in range(2)]
    return torch.stack(losses), model.queue


def test_two_processes_equal_one(tmp_path):
    save_teacher(tmp_path)
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(tmp_path), str(rank)],
            env={'PYTHONPATH': str(CONFIGS.parent), 'OMP_NUM_THREADS': '1', 'OMP_WAIT_POLICY': 'PASSIVE'},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    losses, queue = two_steps(tmp_path, 0, 1)
    texts = [process.communicate(timeout=200)[0] for process in processes]
    assert not any(process.returncode for process in processes), texts
    two = [torch.load(tmp_path / f'{rank}.pt') for rank in range(2)]
    torch.testing.assert_close((two[0][0] + two[1][0]) / 2, losses)
    for _, other in two:
        torch.testing.assert_close(other, queue)


if __name__ == '__main__':
    folder, rank = sys.argv[1], int(sys.argv[2])
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/store', world_size=2, rank=rank)
    torch.save(two_steps(folder, rank, 2), f'{folder}/{rank}.pt')
    torch.distributed.destroy_process_group()

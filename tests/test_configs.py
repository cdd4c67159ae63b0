"""The recipes in ``configs/``: the paper's numbers, and that each one trains."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from poa_mm.elastic import Subnet, SubnetSampler
from poa_mm.engine import CosineLR, CosineWeightDecay
from poa_mm.engine.optim_wrapper import count_micro_batches
from poa_mm.engine.schedules import cosine, full_length
from poa_mm.registry import MODELS
from tests.helpers import program_values as program

CONFIGS = Path(__file__).parents[1] / 'configs'
PRETRAINING = sorted(
    path
    for folder in (CONFIGS, CONFIGS / 'ablations', CONFIGS / 'dinov2')
    for path in folder.glob('*.py')
    if path.name.startswith(('poa_', 'single_', 'vitl_', 'dinov2_', 'continue_'))
)
TINY = {
    'ElasticVisionTransformer': dict(img_size=64, patch_size=16, widths=(32, 64, 32), depths=(2, 3), head_dim=16),
    'ElasticSwinTransformer': dict(
        img_size=64, widths=(16, 32, 16), depths=(1, 2), stage_depths=(1, 1, None), head_dim=8, window_size=4
    ),
    'ElasticResNet': dict(widths=(32, 64, 32), depths=((1, 1), (1, 2), (1, 2), (1, 1)), out_channels=64, num_groups=8),
}

pytestmark = pytest.mark.usefixtures('configs_are_not_printed')


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    rng = np.random.default_rng(0)
    for i in range(4):
        cv2.imwrite(str(folder / f'{i}.jpg'), rng.integers(0, 256, (80, 90, 3), dtype=np.uint8))
    return folder


@pytest.mark.parametrize('path', PRETRAINING, ids=lambda path: path.stem)
def test_every_pretraining_config_trains(path, images, tmp_path):
    """Two optimizer steps through the runner, with a tiny network and tiny crops."""
    cfg = Config.fromfile(path)
    kind = cfg.model.backbone.type
    cfg.model.backbone.update(TINY[kind])
    cfg.model.head.update(num_prototypes=[24] * len(cfg.model.head.num_prototypes), hidden_dims=32, bottleneck_dims=16)
    if 'num_prototypes' in cfg.model.get('target', {}):
        cfg.model.target.num_prototypes = cfg.model.head.num_prototypes
    if 'widths' in cfg.model.get('sampler', {}):
        cfg.model.sampler.widths = [32]
    views = cfg.train_dataloader.dataset.views
    views.global_1.size = views.global_2.size = 64
    views.local.update(size=32, number=2)
    # Swin and ResNet work at stride 16 or 32; the tiny ViT has patches of 16 px.
    cfg.train_dataloader.collate_fn.grid = (4, 4)
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False, pin_memory=False)
    cfg.train_dataloader.sampler.batch_size = 2
    # One recipe accumulates gradients; the others take as many steps with half of the images.
    cfg.optim_wrapper.update(batch_size=2, total_batch=4 if path.stem == 'poa_vitl' else 2)
    if 'data_root' in cfg.train_dataloader.dataset.dataset:
        cfg.train_dataloader.dataset.dataset.data_root = str(images)
    else:
        cfg.train_dataloader.dataset.dataset.num_samples = 4
    cfg.model.schedule.patch_loss_start = 1  # one step without, one with the masked-patch loss
    cfg.train_cfg.max_iters = 2
    cfg.default_hooks.logger.interval = 1
    cfg.load_from = None  # of a continuation: made by poa import
    cfg.work_dir, cfg.experiment_name = str(tmp_path), path.stem
    runner = Runner.from_cfg(cfg)
    before = runner.model.teacher.backbone.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    runner.train()
    assert runner.optim_wrapper.skipped_steps == 0
    assert np.isfinite(runner.message_hub.get_scalar('train/loss').current())
    assert any('patch' in name for name in runner.message_hub.log_scalars)
    changed = [n for n, v in runner.model.teacher.backbone.state_dict().items() if not torch.equal(v, before[n])]
    assert len(changed) > len(before) / 2


# The paper's recipes: space, pool, batch of 32 GPUs, steps, lr at the peak and, after the last step, lr,
# weight decay and teacher momentum.
RECIPES = {
    'poa_vitl': (143, 572, 1600, 276_800, 0.005, 6.2e-4, 0.359, 0.99899),
    'poa_swinb': (39, 88, 2048, 216_250, 0.004 * 2**0.5, 1.8e-4, 0.391, 0.99971),
    'poa_resnet152': (465, 698, 1280, 692_000, 0.004 * 1.25**0.5, 2e-5, 0.4, 0.9999),
}


@pytest.mark.parametrize('name', RECIPES)
def test_paper_recipe(name):
    networks, pool, batch, steps, peak, last_lr, last_decay, last_momentum = RECIPES[name]
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    init_default_scope('poa_mm')
    with torch.device('meta'):
        space = MODELS.build({**cfg.model.backbone}).space
    sampler = {k: v for k, v in cfg.model.sampler.items()}
    assert len(space) == networks
    assert len(SubnetSampler(space, **sampler).pool) == pool
    wrapper, loader = cfg.optim_wrapper, cfg.train_dataloader
    assert wrapper.total_batch == batch and wrapper.batch_size == loader.batch_size == loader.sampler.batch_size
    assert count_micro_batches(batch, wrapper.batch_size, 32) == 1 and cfg.train_cfg.max_iters == steps

    scaling, optimizer = wrapper.lr_scaling, wrapper.optimizer
    assert scaling.rule == 'sqrt'
    start = optimizer.lr * (batch / scaling.base_batch_size) ** 0.5
    assert start == pytest.approx(peak)
    parameter = torch.nn.Parameter(torch.zeros(1))
    adamw = torch.optim.AdamW([parameter], lr=start, weight_decay=optimizer.weight_decay)
    ends = {}
    for scheduler_cfg in cfg.param_scheduler:
        kind = {'CosineLR': CosineLR, 'CosineWeightDecay': CosineWeightDecay}[scheduler_cfg.pop('type')]
        scheduler = kind(adamw, **scheduler_cfg)
        assert scheduler_cfg.steps == steps
        scheduler.load_state_dict(dict(last_step=steps, _global_step=steps))
        ends[scheduler.param_name] = adamw.param_groups[0][scheduler.param_name]
    assert ends['lr'] == pytest.approx(last_lr, rel=0.02)
    assert ends['weight_decay'] == pytest.approx(last_decay, abs=5e-4)
    ema = cfg.default_hooks.teacher
    momentum = cosine(steps, ema.start, ema.final, full_length(ema.steps, ema.get('run_fraction', 1.0)))
    assert momentum == pytest.approx(last_momentum, abs=5e-6)


@pytest.mark.parametrize('name', program.PRETRAINING_BATCH)
def test_batch_of_the_program(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    assert cfg.optim_wrapper.total_batch == program.PRETRAINING_BATCH[name]


@pytest.mark.parametrize('number', program.CANDIDATES)
def test_candidates(number):
    """Table 19: what is drawn beside the intact network."""
    name = 'poa_vitl' if number == 143 else f'ablations/vitl_{number}_candidates'
    cfg = Config.fromfile(CONFIGS / f'{name}.py').model
    init_default_scope('poa_mm')
    with torch.device('meta'):
        space = MODELS.build(cfg.backbone).space
    widths, depths = program.CANDIDATES[number]
    candidates = {Subnet(width, depth) for width in widths for depth in depths}
    assert len(candidates) == number and space.intact == Subnet(1024, 24)
    assert SubnetSampler(space, **cfg.sampler).copies.keys() == candidates - {space.intact}


def test_strengths_and_weights():
    """Tables 17 and 18."""
    for digit in (6, 7, 9):
        assert Config.fromfile(CONFIGS / f'ablations/vitl_lambda0{digit}.py').model.intact_weight == digit / 10
    for name, strength in (('uniform_sampling', 1), ('strength2', 2)):
        sampler = Config.fromfile(CONFIGS / f'ablations/vitl_{name}.py').model.sampler
        assert (sampler.width_strength, sampler.depth_strength) == (strength, strength)


@pytest.mark.parametrize('name', program.DINOV2)
def test_dinov2(name):
    """One size, no elastic student, one head, as many images as POA sees."""
    cfg = Config.fromfile(CONFIGS / f'dinov2/{name}.py')
    init_default_scope('poa_mm')
    with torch.device('meta'):
        space = MODELS.build(cfg.model.backbone).space
    assert list(space) == [Subnet(*program.DINOV2[name])] and cfg.model.students == ('intact',)
    assert cfg.model.head.num_prototypes == cfg.model.target.num_prototypes == program.DINOV2_PROTOTYPES
    poa = Config.fromfile(CONFIGS / ('poa_vitl.py' if 'vit' in name else 'poa_swinb.py'))
    images = [c.train_cfg.max_iters * c.optim_wrapper.total_batch for c in (cfg, poa)]
    assert images[0] == pytest.approx(images[1], rel=1e-3)


def test_a_child_changes_one_field_of_a_hook(tmp_path):
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = '{CONFIGS / 'poa_vit_small.py'}'\ndefault_hooks = dict(teacher=dict(start=0.98))\n")
    parent, cfg = Config.fromfile(CONFIGS / 'poa_vit_small.py'), Config.fromfile(child)
    assert parent.default_hooks.teacher.start == 0.96
    parent.default_hooks.teacher.start = 0.98
    assert cfg.default_hooks == parent.default_hooks and cfg.default_hooks.teacher.steps == 1000
    assert not any('custom_hooks' in Config.fromfile(path) for path in PRETRAINING)

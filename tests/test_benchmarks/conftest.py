"""A pre-training config whose step takes milliseconds."""

import sys

import pytest
from mmengine.config import Config

from benchmarks import operations, step
from benchmarks.command import run
from tests.helpers.networks import VIT

CONFIG = f"""
default_scope = 'poa_mm'
model = dict(
    type='POA',
    backbone={dict(VIT, img_size=32, widths=(32, 64, 16), head_dim=16, drop_path_rate=0.2)},
    head=dict(type='MultiPrototypeHead', num_prototypes=(40, 72), hidden_dims=48, bottleneck_dims=24))
train_dataloader = dict(
    batch_size=3,
    num_workers=0,
    sampler=dict(type='SeededInfiniteSampler'),
    collate_fn=dict(type='poa_mm.multi_crop_collate', grid=(4, 4), mask_ratio=(0.2, 0.5)),
    dataset=dict(
        type='ViewsDataset',
        dataset=dict(type='DemoDataset', num_samples=8, image_size=48),
        views=dict(
            global_1=dict(size=32, scale=(0.3, 1.0), blur=0.5),
            global_2=dict(size=32, scale=(0.3, 1.0), blur=0.5),
            local=dict(size=16, number=2, scale=(0.1, 0.3), blur=0.5))))
optim_wrapper = dict(
    type='PoaOptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    total_batch=6,
    batch_size=3,
    optimizer=dict(type='AdamW', lr=0.004, weight_decay=0.04, fused=True),
    lr_scaling=dict(rule='sqrt', base_batch_size=1024),
    clip_grad=dict(max_norm=1.5, separately=True),
    paramwise_cfg=dict(layer_decay_rate=0.9))
"""


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / 'tiny.py'
    path.write_text(CONFIG)
    return path


@pytest.fixture
def config(config_file):
    return Config.fromfile(config_file)


@pytest.fixture
def no_product_rates(monkeypatch):
    """The rates of single products take longer than the steps, and have a test of their own."""
    monkeypatch.setitem(step.SQUARE, 'cpu', 64)
    monkeypatch.setattr(operations, 'product_rate', lambda *args: 1e9)


@pytest.fixture
def command(monkeypatch):
    """Runs a module of the benchmarks as a command and returns its exit status."""

    def call(module, *arguments):
        monkeypatch.setattr(sys, 'argv', [module.__name__, *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            run(module.parse_args, module.measure)
        return stopped.value.code or 0

    return call

"""A model with the attributes that the engine asks for, and a runner for it."""

import copy
import itertools

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

_names = itertools.count()


class TinyBackbone(nn.Module):
    """Two blocks, a token, a norm; ids 0 (token, patch_embed), 1, 2 (layers), 3 (norm)."""

    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.mask_token = nn.Parameter(torch.zeros(4))
        self.patch_embed = nn.Linear(3, 4)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.norm = nn.LayerNorm(4)

    def get_layer_depth(self, name, prefix=''):
        name = name[len(prefix) :]
        if name.startswith(('cls_token', 'mask_token', 'patch_embed')):
            return 0, 4
        return (int(name.split('.')[1]) + 1, 4) if name.startswith('layers') else (3, 4)

    def forward(self, x):
        x = self.patch_embed(x) + self.cls_token[0] + self.mask_token
        for layer in self.layers:
            x = x + layer(x).tanh()
        return self.norm(x)


class TinyHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.mlp = nn.Linear(4, 4)
        self.last_layer = nn.Linear(4, 6, bias=False)

    def forward(self, x):
        return self.last_layer(self.mlp(x))


class TinyPOA(BaseModel):
    def __init__(self):
        super().__init__()
        self.backbone = TinyBackbone()
        self.head = nn.ModuleList([TinyHead()])
        self.teacher = nn.ModuleDict(dict(backbone=self.backbone, head=self.head))
        self.teacher = copy.deepcopy(self.teacher).requires_grad_(False)
        self.seen = []

    def forward(self, inputs, mode='loss'):
        self.seen.append({key: inputs.get(key) for key in ('step', 'rank', 'seed')})
        x = inputs['x']
        with torch.no_grad():
            target = self.teacher['head'][0](self.teacher['backbone'](x)).softmax(-1)
        # Rolled, because the gradient towards one's own copy is zero.
        loss = -(self.head[0](self.backbone(x)).log_softmax(-1) * target.roll(1, -1)).sum(-1)
        return dict(loss=loss.float().mean())


class TinyData(Dataset):
    """Fixed random rows; the rows ``bad`` are infinite."""

    def __init__(self, size=16, bad=()):
        self.rows = torch.randn(size, 3, generator=torch.Generator().manual_seed(1))
        self.rows[list(bad)] = float('inf')

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, draw):
        return self.rows[draw.index]


@pytest.fixture
def tiny_model():
    def make(seed=0):
        torch.manual_seed(seed)
        return TinyPOA()

    return make


@pytest.fixture
def tiny_data():
    return TinyData


def build_runner(work_dir, steps=4, batch_size=2, accumulative_counts=1, data=None, hooks=(), **kwargs):
    """A runner of a tiny model, quiet and without files but those under ``work_dir``."""
    torch.manual_seed(0)
    wrapper = dict(
        type='PoaOptimWrapper',
        constructor='LayerDecayOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.04, fused=True),
        total_batch=batch_size * accumulative_counts * get_world_size(),
        batch_size=batch_size,
        clip_grad=dict(max_norm=1.5, separately=True),
        lr_scaling=dict(rule='sqrt', base_batch_size=8),
        paramwise_cfg=dict(layer_decay_rate=0.9, patch_embed_lr_mult=0.2),
    )
    default_hooks = dict(
        runtime_info=dict(type='LazyRuntimeInfoHook'),
        checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=1000, save_last=False),
    )
    default_hooks.update(kwargs.pop('default_hooks', {}))
    wrapper = kwargs.pop('optim_wrapper', None) or wrapper
    sampler = dict(type='SeededInfiniteSampler', shuffle=False, batch_size=batch_size)
    sampler.update(kwargs.pop('sampler', {}))
    cfg = dict(
        model=TinyPOA(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            sampler=sampler,
            dataset=data or TinyData(),
            collate_fn=lambda rows: dict(inputs=dict(x=torch.stack(rows))),
        ),
        train_cfg=dict(type='StepTrainLoop', max_iters=steps),
        optim_wrapper=wrapper,
        param_scheduler=[
            dict(type='CosineLR', steps=steps, warmup=1, final=2e-5, run_fraction=0.78),
            dict(type='CosineWeightDecay', steps=steps, final=0.4, run_fraction=0.78),
        ],
        default_hooks=default_hooks,
        custom_hooks=list(hooks),
        default_scope='poa_mm',
        experiment_name=f'tiny_{next(_names)}',
        randomness=dict(seed=0),
        log_level='WARNING',
    )
    rest = {key: kwargs.pop(key) for key in ('model_wrapper_cfg',) if key in kwargs}  # what Runner reads from a file
    cfg.update(kwargs)
    return Runner(cfg=Config(rest), **cfg)


@pytest.fixture
def make_runner(tmp_path):
    """:func:`build_runner` in a folder of the test's own."""

    def make(**kwargs):
        return build_runner(**{'work_dir': tmp_path / 'run', **kwargs})

    return make

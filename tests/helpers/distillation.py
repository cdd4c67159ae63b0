"""Teachers and students of ``test_seed.py`` and ``test_recovery.py``, and steps that its processes take."""

from pathlib import Path

import torch
from mmengine.dist import get_rank, get_world_size

from poa_mm.extraction import ExtractedNetwork, export_subnet
from poa_mm.registry import MODELS
from tests.helpers.networks import VIT

LARGE = dict(VIT, layer_scale_init_value=0.5)
SMALL = dict(LARGE, widths=(16, 16, 8), depths=(2, 2))


def save_networks(folder):
    """A random elastic network, and the extracted files of two of its sub-networks: teacher and start of a student."""
    torch.manual_seed(0)
    backbone = MODELS.build({'_scope_': 'poa_mm', **LARGE}).eval()
    for parameter in backbone.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for subnet in ('24x3', '16x2'):
        export_subnet(backbone, subnet, folder, {})
    return backbone


def teacher(file):
    network = ExtractedNetwork.load(file)
    backbone = {**network.config, 'init_cfg': network.init_cfg(file)}
    return dict(teacher=dict(type='FrozenBackbone', backbone=backbone), teacher_dims=network.feature_dims)


def build(folder, backbone=SMALL, subnet='24x3', **kwargs):
    torch.manual_seed(1)
    cfg = dict(type='SEED', backbone=backbone, queue_size=10, **teacher(Path(folder, f'{subnet}.pth')), **kwargs)
    model = MODELS.build({'_scope_': 'poa_mm', **cfg})
    model.init_weights()
    return model


def images(seed, n=4):
    return torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def two_steps(folder):
    """Mean losses and the queue after two steps of this process's share of eight images."""
    model, rank, number = build(folder), get_rank(), 8 // get_world_size()
    share = slice(number * rank, number * (rank + 1))
    losses = [model.loss(dict(global_crops=images(step, 8)[share]))['loss'].detach() for step in range(2)]
    return torch.stack(losses), model.queue

"""All protocols on a few images, in one process or in one of several."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from PIL import Image

from poa_mm.evaluation.clustering import run_clustering
from poa_mm.evaluation.comparison import EvalOptions
from poa_mm.evaluation.knn_protocol import run_knn
from poa_mm.evaluation.linear_protocol import run_linear
from poa_mm.evaluation.robustness import run_robustness
from poa_mm.registry import MODELS
from tests.helpers.networks import VIT

PROTOCOLS = dict(knn=run_knn, linear=run_linear, cluster=run_clustering, robustness=run_robustness)
CONFIG = dict(
    model=dict(
        type='POA',
        backbone=VIT,
    ),
    randomness=dict(seed=4),
    knn=dict(ks=(3, 9)),
    linear=dict(iters=12, total_batch=8, learning_rates=(0.001, 0.1, 0.5)),
    cluster=dict(restarts=2),
    robustness=dict(ratios=(0, 0.5), grids=(1, 4), k=3),
)


def save_checkpoint(path, broken=False):
    """A pre-training checkpoint of a tiny network; one with weights that are not finite, if it shall be broken."""
    cfg = Config(CONFIG)
    torch.manual_seed(0)
    backbone = MODELS.build({'_scope_': 'poa_mm', **cfg.model.backbone})
    for parameter in backbone.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    if broken:
        backbone.ln1.bias.data.fill_(float('nan'))
    weights = {f'teacher.backbone.{k}': v for k, v in backbone.state_dict().items()}
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, iter=5, seed=4), state_dict=weights), path)


def save_images(folder, per_class, unreadable=()):
    """Three classes of images in their folders; some of them are broken files."""
    rng = np.random.default_rng(per_class)
    for label, name in enumerate(('bright', 'dark', 'dim')):
        Path(folder, name).mkdir(parents=True)
        for i in range(per_class):
            pixels = rng.integers(30 * label, 30 * label + 180, (20, 22, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(Path(folder, name, f'{i}.png'))
    for name in unreadable:
        Path(folder, name).write_bytes(b'broken')


def inputs(folder, checkpoint='iter_5.pth', train='train', val='val', **options):
    """What a command gives to a protocol; ``options`` are its settings."""
    folder = Path(folder)
    return EvalOptions(
        cfg=Config(CONFIG),
        files=[str(folder / checkpoint)],
        subnets=['16x2', 'intact'],
        batch_size=4,
        num_workers=0,
        options={'train': str(folder / train), 'val': val if isinstance(val, dict) else str(folder / val), **options},
    )


def run_all(folder):
    """Records of all protocols; of robustness by neighbours and by the classifiers of linear probing."""
    save = f'{folder}/probes{get_world_size()}.pth'
    records = dict(linear=run_linear(inputs(folder, total_batch=8), save=save))
    others = dict(PROTOCOLS, classified=partial(run_robustness, classifiers=save))
    records.update({name: run(inputs(folder)) for name, run in others.items() if name != 'linear'})
    return records

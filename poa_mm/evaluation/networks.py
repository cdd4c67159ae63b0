"""Opens what can be evaluated: a pre-training checkpoint, or an extracted sub-network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from poa_mm.extraction import load_pretrained
from poa_mm.files import load_weights
from poa_mm.models.backbones import ElasticBackbone
from poa_mm.models.backbones.static_resnet import PUBLISHED
from poa_mm.registry import MODELS

STAGES = {depth: blocks for blocks, depth in PUBLISHED.items()}


@dataclass(frozen=True)
class Opened:
    """A file with one or many networks.

    Args:
        kind: ``'pretrained'`` for a checkpoint, ``'extracted'`` for one sub-network.
        backbone: In evaluation mode on the CPU. That of an extracted network holds nothing but itself.
        source: Where it came from: ``file``, ``checkpoint``, ``branch``, ``iteration``, ``seed``.
        mean: Of R, G, B of its images, in levels of 0 to 255; ``None`` where an extracted file does not say it.
        std: Likewise.
    """

    kind: str
    backbone: ElasticBackbone
    source: dict[str, Any]
    mean: list[float] | None
    std: list[float] | None


def open_network(path: str | Path, cfg: Config | None = None, branch: str = 'teacher') -> Opened:
    """Open a pre-training checkpoint or a file of ``tools/extract.py``. Nothing in it is executed.

    Args:
        path: The file.
        cfg: Pre-training config; a checkpoint must be of its space. An extracted file needs none.
        branch: Whose weights of a checkpoint, ``'teacher'`` or ``'student'``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is neither of the two, or does not fit the config.
    """
    contents = load_weights(path)
    meta = contents.get('meta')
    if isinstance(meta, Mapping) and 'subnet' in meta:
        return _open_extracted(path, contents)
    backbone, source = load_pretrained(path, cfg if cfg is not None and 'model' in cfg else None, branch)
    mean, std, _ = (source.pop(key) for key in ('mean', 'std', 'cfg'))
    return Opened('pretrained', backbone, {'file': str(path), **source}, mean, std)


def _open_extracted(path: str | Path, contents: Mapping[str, Any]) -> Opened:
    meta, weights = contents['meta'], contents.get('state_dict')
    if not isinstance(meta.get('config'), Mapping) or not isinstance(weights, Mapping):
        raise ValueError(f'{path} is no extracted sub-network: it lacks the config or the weights')
    try:
        backbone_cfg = elastic_config(meta['config'])
    except (KeyError, TypeError) as error:
        raise ValueError(f'{path} holds a network that is none of ours: {meta["config"]}') from error
    with torch.random.fork_rng(devices=[]):
        backbone = MODELS.build({'_scope_': 'poa_mm', **backbone_cfg})
    load_extracted(backbone, weights, path)
    source = {key: meta.get(key) for key in ('checkpoint', 'branch', 'iteration', 'seed', 'experiment_name')}
    return Opened('extracted', backbone.eval(), {'file': str(path), **source}, meta.get('mean'), meta.get('std'))


def elastic_config(static: Mapping[str, Any]) -> dict[str, Any]:
    """Config of the elastic backbone whose only sub-network is the given ordinary network.

    It has the same parameters under the same names and computes the same, so whatever is measured on a
    sub-network in a checkpoint is measured on an extracted one by the same program.

    Args:
        static: What :meth:`ElasticBackbone.static_config` gives.

    Raises:
        KeyError: If it is another kind of network.
    """
    kind = static['type'].rpartition('.')[2]
    if kind == 'VisionTransformer':
        arch = static['arch']
        return dict(
            type='ElasticVisionTransformer',
            img_size=static['img_size'],
            patch_size=static['patch_size'],
            **_one_size(arch['embed_dims'], arch['num_layers']),
            head_dim=arch['embed_dims'] // arch['num_heads'],
            layer_scale_init_value=static['layer_scale_init_value'],
        )
    if kind == 'SwinTransformer':
        arch, depths = static['arch'], list(static['arch']['depths'])
        deepest = depths.index(max(depths))
        return dict(
            type='ElasticSwinTransformer',
            img_size=static['img_size'],
            patch_size=static['patch_size'],
            **_one_size(arch['embed_dims'], depths[deepest]),
            stage_depths=[None if i == deepest else depth for i, depth in enumerate(depths)],
            head_dim=arch['embed_dims'] // arch['num_heads'][0],
            window_size=static['window_size'],
        )
    if kind in ('ResNet', 'StaticResNet'):
        if kind == 'ResNet':
            blocks, width = STAGES[static['depth']], static['base_channels']
            out_channels = width * static['expansion']
        else:
            blocks, width, out_channels = static['stage_blocks'], static['mid_channels'], static['out_channels']
        return dict(
            type='ElasticResNet',
            widths=(width, width, 1),
            depths=[(depth, depth) for depth in blocks],
            stem_channels=static['stem_channels'],
            out_channels=out_channels,
            num_groups=static['norm_cfg']['num_groups'],
        )
    raise KeyError(kind)


def _one_size(width: int, depth: int) -> dict[str, tuple[int, ...]]:
    return dict(widths=(width, width, 1), depths=(depth, depth))


def load_extracted(backbone: ElasticBackbone, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Load the weights of an ordinary network of the same size: all but what only pre-training needs.

    Raises:
        ValueError: If a weight is missing, or is of another size.
    """
    expected = {k: v for k, v in backbone.state_dict().items() if k not in backbone.pretrain_only}
    for name in sorted(expected.keys() | weights.keys()):
        shapes = [tuple(d[name].shape) if name in d else 'missing' for d in (weights, expected)]
        if shapes[0] != shapes[1]:
            raise ValueError(f'{path} does not fit the config: {name} is {shapes[0]}, must be {shapes[1]}')
    backbone.load_state_dict(dict(weights), strict=False)

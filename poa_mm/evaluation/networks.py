"""Opens what can be evaluated: a pre-training checkpoint, or an extracted sub-network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from poa_mm.errors import UserError
from poa_mm.extraction import load_pretrained
from poa_mm.extraction.file_format import is_extracted, source_of
from poa_mm.files import differing_shapes, load_weights
from poa_mm.models.backbones import ElasticBackbone, ElasticResNet, ElasticSwinTransformer, ElasticVisionTransformer

# What computes the same as an ordinary network, so that the same program measures it inside a checkpoint or alone.
FAMILIES: dict[str, type[ElasticBackbone]] = {
    'VisionTransformer': ElasticVisionTransformer,
    'SwinTransformer': ElasticSwinTransformer,
    'ResNet': ElasticResNet,
    'StaticResNet': ElasticResNet,
}


@dataclass(frozen=True)
class LoadedNetwork:
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


def open_network(path: str | Path, cfg: Config | None = None, branch: str = 'teacher') -> LoadedNetwork:
    """Open a pre-training checkpoint or a file of ``tools/extract.py``. Nothing in it is executed.

    Args:
        path: The file.
        cfg: Pre-training config; a checkpoint must be of its space. An extracted file needs none.
        branch: Whose weights of a checkpoint, ``'teacher'`` or ``'student'``.

    Raises:
        UserError: If the file does not exist.
        UserError: If it is neither of the two, or does not fit the config.
    """
    contents = load_weights(path)
    if is_extracted(contents):
        return _open_extracted(path, contents)
    backbone, source = load_pretrained(path, cfg if cfg is not None and 'model' in cfg else None, branch, contents)
    mean, std, _ = (source.pop(key) for key in ('mean', 'std', 'cfg'))
    return LoadedNetwork('pretrained', backbone, {'file': str(path), **source}, mean, std)


def _open_extracted(path: str | Path, contents: Mapping[str, Any]) -> LoadedNetwork:
    meta, weights = contents['meta'], contents.get('state_dict')
    if not isinstance(meta.get('config'), Mapping) or not isinstance(weights, Mapping):
        raise UserError(f'{path} is no extracted sub-network: it lacks the config or the weights')
    if meta.get('format', 'mmpretrain') != 'mmpretrain':
        raise UserError(
            f'{path} was extracted with --format {meta["format"]}, for maps: extract it with --format mmpretrain, for '
            'image features'
        )
    try:
        family = FAMILIES[meta['config']['type'].rpartition('.')[2]]
        arguments = family.elastic_config(meta['config'])
    except (KeyError, TypeError) as error:
        raise UserError(f'{path} holds a network that is none of ours: {meta["config"]}') from error
    with torch.random.fork_rng(devices=[]):
        backbone = family(**arguments)
    backbone.img_size = backbone.img_size or meta.get('img_size')
    load_extracted(backbone, weights, path)
    source = {'file': str(path), **source_of(meta)}
    return LoadedNetwork('extracted', backbone.eval(), source, meta.get('mean'), meta.get('std'))


def load_extracted(backbone: ElasticBackbone, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Load the weights of an ordinary network of the same size: all but what only pre-training needs.

    Raises:
        UserError: If a weight is missing, or is of another size.
    """
    expected = {k: v for k, v in backbone.state_dict().items() if k not in backbone.pretrain_only}
    for name, found, wanted in differing_shapes(weights, expected):
        raise UserError(f'{path} does not fit the config: {name} is {found}, must be {wanted}')
    backbone.load_state_dict(dict(weights), strict=False)

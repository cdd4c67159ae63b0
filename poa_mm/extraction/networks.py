"""Opens a file as a network that computes: a pre-training checkpoint, or an extracted sub-network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from poa_mm.errors import UserError
from poa_mm.files import differing_shapes, load_weights
from poa_mm.models.backbones import ElasticBackbone, find_family

from .checkpoint import load_pretrained
from .extracted import ExtractedNetwork, is_extracted


@dataclass(frozen=True)
class LoadedNetwork:
    """A file with one or many networks.

    Args:
        kind: ``'pretrained'`` for a checkpoint, ``'extracted'`` for one sub-network.
        backbone: In evaluation mode on the CPU. That of an extracted network holds nothing but itself.
        source: Where it came from: ``file``, ``checkpoint``, ``branch``, ``iteration``, ``seed``.
        inputs: ``img_size``, ``mean`` and ``std`` of its images (:func:`resolve_inputs`); ``None`` where the file does
            not say it.
        cfg: The pre-training config of a checkpoint.
    """

    kind: str
    backbone: ElasticBackbone
    source: dict[str, Any]
    inputs: dict[str, Any]
    cfg: Config | None = None


def open_network(path: str | Path, cfg: Config | None = None, branch: str | None = None) -> LoadedNetwork:
    """Open a pre-training checkpoint or a file of ``poa extract``. Nothing in it is executed.

    Args:
        path: The file.
        cfg: Pre-training config; a checkpoint must be of its space. An extracted file needs none.
        branch: Of a checkpoint, as in :func:`load_pretrained`.

    Raises:
        UserError: If the file does not exist.
        UserError: If it is neither of the two, or does not fit the config.
    """
    contents = load_weights(path)
    if is_extracted(contents):
        return _open_extracted(path, ExtractedNetwork.from_contents(contents, path))
    backbone, source = load_pretrained(path, cfg if cfg is not None and 'model' in cfg else None, branch, contents)
    inputs = {key: source.pop(key) for key in ('img_size', 'mean', 'std')}
    inputs['img_size'] = inputs['img_size'] or backbone.img_size
    cfg = source.pop('cfg')
    return LoadedNetwork('pretrained', backbone, {'file': str(path), **source}, inputs, cfg)


def _open_extracted(path: str | Path, network: ExtractedNetwork) -> LoadedNetwork:
    if network.format != 'mmpretrain':
        raise UserError(
            f'{path} was extracted with --format {network.format}, for maps: extract it with --format mmpretrain, for '
            'image features'
        )
    family = find_family(network.config)
    try:
        arguments = family.elastic_config(network.config)
    except (KeyError, TypeError) as error:
        raise UserError(f'{path} holds a network that poa_mm did not extract: {network.config}') from error
    with torch.random.fork_rng(devices=[]):
        backbone = family(**arguments)
    load_extracted(backbone, network.weights, path)
    return LoadedNetwork('extracted', backbone.eval(), {'file': str(path), **network.source}, network.inputs)


def load_extracted(backbone: ElasticBackbone, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Load the weights of an ordinary network of the same size: all but what only pre-training needs.

    Raises:
        UserError: If a weight is missing, or is of another size.
    """
    expected = {k: v for k, v in backbone.state_dict().items() if k not in backbone.pretrain_only}
    for name, found, wanted in differing_shapes(weights, expected):
        raise UserError(f'{path} does not fit the config: {name} is {found}, must be {wanted}')
    backbone.load_state_dict(dict(weights), strict=False)

"""Fills an extracted network into the model of a downstream config, so that no config describes it again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from poa_mm.config.recipes import find_config
from poa_mm.errors import UserError

from .checkpoint import build_backbone
from .extracted import ExtractedNetwork
from .inputs import config_inputs, resolve_inputs

BACKBONE = '$backbone'


def fill_in(
    model: Mapping[str, Any],
    recipe: str,
    subnet: str,
    toolbox: str,
    file: str | None = None,
    **backbone_overrides,
) -> dict[str, Any]:
    """A model config with an extracted network in the place of its placeholders.

    Configs call it after ``_base_``::

        _base_ = ['_base_/cascade_mask_rcnn_vit.py', '_base_/schedule_3x.py']

        from poa_mm.extraction import fill_in

        subnet = 'S'
        model = fill_in(_base_.model, 'poa_vitl', subnet, 'mmdet', drop_path_rate=0.1)

    A dict with ``type='$backbone'`` becomes the network's config, starting from ``file``; other keys of the dict go
    before the network's, and ``backbone_overrides`` before both. Text becomes a value: ``'$channels'`` (of the maps),
    ``'$channels[2]'``, ``'$sum(channels)'``, ``'$feature_dims'`` (of the image feature), ``'$mean'``, ``'$std'`` and
    ``'$img_size'``. The result is plain, so that a dumped config needs nothing of this.

    Args:
        model: With placeholders, as a base config has it.
        recipe: Pre-training config that the network comes from: a path, or a name in ``configs/``.
        subnet: Name or size of a member of its space, or a size of another space of the same family whose file exists.
        toolbox: ``'mmpretrain'``, ``'mmdet'`` or ``'mmseg'``.
        file: Extracted network; ``subnets/<toolbox>/<name>.pth`` by default. Where it exists it describes the network,
            else the recipe does, so that a config can be read before the weights exist.
        **backbone_overrides: Arguments of the backbone.

    Raises:
        UserError: If the recipe or sub-network does not exist, the file holds another network, or a placeholder is
            unknown.
    """
    network, file = find_network(recipe, subnet, toolbox, file)
    values = dict(resolve_inputs(network.inputs), channels=network.channels, feature_dims=network.feature_dims)
    backbone = {**network.config, 'init_cfg': network.init_cfg(file)}
    filled = _fill(model, values, backbone, backbone_overrides)
    if BACKBONE in str(filled):
        raise UserError(f'{BACKBONE!r} must be the type of a dict: {model}')
    return filled


def find_network(recipe: str, subnet: str, toolbox: str, file: str | None = None) -> tuple[ExtractedNetwork, str]:
    """What is known of a sub-network, from its file or else from its recipe, and the file; see :func:`fill_in`."""
    path = find_config(recipe)
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        elastic = build_backbone(cfg)
    try:
        member = elastic.space.parse(subnet)
        name = elastic.space.name(member)
    except UserError:
        # A size of a space of the user's own: without its file nothing describes it.
        if not Path(file or _default_file(toolbox, subnet)).is_file():
            raise
        member = name = subnet
    file = file or _default_file(toolbox, name)
    if not Path(file).is_file():
        return ExtractedNetwork.describe(elastic, member, toolbox, config_inputs(cfg)), file
    found = ExtractedNetwork.load(file)
    for key, own, wanted in (
        ('family', found.space['type'], type(elastic).__name__),
        ('sub-network', found.subnet, str(member)),
        ('format', found.format, toolbox),
    ):
        if own != wanted:
            raise UserError(f'{file} has the {key} {own}, but {subnet!r} of {path} for {toolbox} has {wanted}')
    return found, file


def _default_file(toolbox: str, name: str) -> str:
    return f'subnets/{toolbox}/{name}.pth'


def _fill(node: Any, values: Mapping[str, Any], backbone: Mapping[str, Any], overrides: Mapping[str, Any]) -> Any:
    if isinstance(node, Mapping):
        filled = {key: _fill(value, values, backbone, overrides) for key, value in node.items()}
        if node.get('type') == BACKBONE:
            del filled['type']
            filled = {**backbone, **filled, **overrides}
        return filled
    if isinstance(node, list | tuple):
        return type(node)(_fill(value, values, backbone, overrides) for value in node)
    if isinstance(node, str) and node.startswith('$') and node != BACKBONE:
        return _value(node, values)
    return node


def _value(placeholder: str, values: Mapping[str, Any]) -> Any:
    match = re.fullmatch(r'\$(?:(\w+)|(\w+)\[(\d+)\]|sum\((\w+)\))', placeholder)
    name = match and (match[1] or match[2] or match[4])
    if name not in values:
        known = ', '.join(f'${key}' for key in values)
        raise UserError(
            f'unknown placeholder {placeholder!r}: there are {BACKBONE}, {known}, $channels[0], $sum(channels)'
        )
    value = values[name]
    if match[3]:
        if int(match[3]) >= len(value):
            raise UserError(f'{placeholder!r}: the network has {len(value)} maps')
        return value[int(match[3])]
    if match[4]:
        return sum(value)
    return list(value) if isinstance(value, list) else value

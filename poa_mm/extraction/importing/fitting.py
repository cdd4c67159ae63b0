"""Brings the weights of a source into the names and shapes of an elastic backbone."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from poa_mm.errors import UserError
from poa_mm.files import differing_shapes
from poa_mm.models.backbones import ElasticBackbone

from .reading import SourceFile
from .sources import Source, plain_name, recognise, renamed

BUFFERS = r'(.*\.)?(relative_position_index|attn_mask|num_batches_tracked)'
SEPARATE_QKV = re.compile(r'(.*\.qkv)\.query\.(weight|bias)')


def fit_backbone(file: SourceFile, backbone: ElasticBackbone, branch: str | None = None) -> tuple[Source, list[str]]:
    """Load the weights of a source into a backbone.

    Args:
        file: The source.
        backbone: Of the config; its intact network must be the source's.
        branch: As of :func:`recognise`.

    Returns:
        The source, and the parameters that it does not have, which keep their values: those of pre-training alone.

    Raises:
        UserError: If the source is not known, or does not fit; names the first weight and why.
    """
    weights = {plain_name(name): value for name, value in file.weights.items()}
    source, prefix = recognise(weights, branch)
    if source.family != backbone.family:
        raise UserError(f'{file.path} holds a {source.family} of {source.library}, the config a {backbone.family}')
    found = _translate(file.path, weights, source, prefix, backbone)
    _check_options(file, source, found, backbone)
    expected = {name: parameter.detach() for name, parameter in backbone.named_parameters()}
    _adapt(found, source, backbone)
    # Pre-training's own, and norms of maps that pre-training does not use.
    optional = {n for n, p in backbone.named_parameters() if n in backbone.pretrain_only or not p.requires_grad}
    untrained = [name for name in expected if name in optional and name not in found]
    found.update({name: expected[name] for name in untrained})
    for name, shape, wanted in differing_shapes(found, expected):
        if wanted == 'missing':
            raise UserError(f'{file.path} has the weight {name} {shape}, which the backbone of the config lacks')
        if shape == 'missing':
            raise UserError(f'{file.path} lacks the weight {name} {wanted} of the config (by the names of mmpretrain)')
        raise UserError(f'{file.path} does not fit the config: {name} is {shape} in the file, {wanted} in the config')
    backbone.load_state_dict({name: value.float() for name, value in found.items()}, strict=False)
    return source, untrained


def _translate(
    path: str, weights: Mapping[str, Tensor], source: Source, prefix: str, backbone: ElasticBackbone
) -> dict[str, Tensor]:
    """The weights by the names of the backbone; separate queries, keys and values are joined."""
    own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    if any(name.endswith('running_mean') for name in own):
        raise UserError(f'{path} has BatchNorm, the {backbone.family} of the config GroupNorm')
    last_norm = f'norm{len(backbone.space.stages) - 1}.'
    found = {
        renamed(name, source).replace('norm_last.', last_norm): value
        for name, value in own.items()
        if not re.fullmatch(f'{source.unused}|{BUFFERS}', name) and not _is_head(name)
    }
    for name in list(found):
        if match := SEPARATE_QKV.fullmatch(name):
            parts = [f'{match[1]}.{part}.{match[2]}' for part in ('query', 'key', 'value')]
            missing = [part for part in parts if part not in found]
            if missing:
                raise UserError(f'{path} lacks the weight {missing[0]}')
            found[f'{match[1]}.{match[2]}'] = torch.cat([found.pop(part) for part in parts])
    gate, out = found.get('layers.0.ffn.layers.0.0.weight'), found.get('layers.0.ffn.layers.1.weight')
    if gate is not None and out is not None and gate.shape[0] == 2 * out.shape[1]:  # timm's packed SwiGLU
        found = {re.sub(r'ffn\.layers\.0\.0\.', 'ffn.w12.', name): value for name, value in found.items()}
        found = {re.sub(r'ffn\.layers\.1\.', 'ffn.w3.', name): value for name, value in found.items()}
    return found


def _is_head(name: str) -> bool:
    return re.match(r'(teacher\.)?(\w*head|patch_head)\.', name) is not None


def _check_options(file: SourceFile, source: Source, found: Mapping[str, Tensor], backbone: ElasticBackbone) -> None:
    """Compare what weights and config of the source say with the backbone's arguments."""
    options: dict[str, Any] = {**source.options, **file.options}
    ours: dict[str, Any] = {}
    if 'patch_embed.projection.weight' in found:
        projection = found['patch_embed.projection.weight']
        options.update(width=projection.shape[0], patch_size=projection.shape[-1])
        ours['width'] = backbone.space.intact.width
    for i, (prefix, stage) in enumerate(zip(backbone.block_prefixes, backbone.space.stages)):
        key = f'number of blocks of stage {i + 1}' if len(backbone.space.stages) > 1 else 'number of blocks'
        indices = {int(m[1]) for name in found if (m := re.match(re.escape(prefix) + r'(\d+)\.', name))}
        options[key], ours[key] = len(indices), stage[-1]
    if backbone.family == 'VisionTransformer':
        options['num_registers'] = found['register_tokens'].shape[1] if 'register_tokens' in found else 0
        options['ffn'] = 'swiglu' if 'layers.0.ffn.w12.weight' in found else 'mlp'
        options['LayerScale'] = 'layers.0.attn.gamma1.weight' in found
        ours['LayerScale'] = backbone.layer_scale_init_value != 0
    hints = dict(width='widths', LayerScale='layer_scale_init_value')
    for key, value in options.items():
        own = ours[key] if key in ours else getattr(backbone, key, value)
        if value != own:
            option = hints.get(key, 'depths' if key.startswith('number') else key)
            raise UserError(
                f'{file.path} does not fit the config: {key} is {value} in the file, {own} in the config '
                f'(model.backbone.{option})'
            )


def _adapt(found: dict[str, Tensor], source: Source, backbone: ElasticBackbone) -> None:
    """What is laid out otherwise: positions, mask token, patch merging."""
    if 'mask_token' in found:
        found['mask_token'] = found['mask_token'].reshape(1, -1)
    if 'pos_embed' in found:
        registers = found.get('register_tokens')
        tokens = 0 if registers is None else registers.shape[1]
        prefix, patches = _split_positions(found['pos_embed'], tokens)
        if prefix.shape[1] > 1:  # a register's position is part of it
            found['register_tokens'] = registers + prefix[:, 1:]
        antialias, offset = (True, 0.0) if tokens else (source.antialias, source.offset)
        patches = resize_positions(patches, backbone.grid, antialias, offset)
        found['pos_embed'] = torch.cat([prefix[:, :1], patches], dim=1)
    if source.original_merging:
        for name, value in found.items():
            if '.downsample.' in name:  # neighbours column by column, each with all channels -> channel by channel
                neighbours = value.unflatten(-1, (2, 2, -1))
                found[name] = neighbours.movedim((-3, -2, -1), (-1, -2, -3)).flatten(-3)


def _split_positions(positions: Tensor, registers: int) -> tuple[Tensor, Tensor]:
    """Positions of class token and registers ``(1, 1 or 1 + R, D)``, zero where there are none, and of the patches."""
    for extra in (1, 1 + registers, 0):
        patches = positions.shape[1] - extra
        if math.isqrt(patches) ** 2 == patches:
            prefix = positions[:, :extra] if extra else torch.zeros_like(positions[:, :1])
            return prefix, positions[:, extra:]
    raise UserError(f'pos_embed of shape {tuple(positions.shape)} does not belong to a square of patches')


def resize_positions(patches: Tensor, grid: int, antialias: bool, offset: float) -> Tensor:
    """Positions ``(1, P, D)`` of a square of patches for ``grid x grid``, as the source's library resizes them."""
    side = math.isqrt(patches.shape[1])
    if side == grid:
        return patches
    maps = patches.float().unflatten(1, (side, side)).permute(0, 3, 1, 2)
    if offset:
        maps = F.interpolate(maps, scale_factor=(grid + offset) / side, mode='bicubic', antialias=antialias)
    else:
        maps = F.interpolate(maps, size=(grid, grid), mode='bicubic', antialias=antialias)
    return maps.flatten(2).transpose(1, 2)

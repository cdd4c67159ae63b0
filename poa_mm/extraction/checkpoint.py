"""Reads the elastic backbone out of a pre-training checkpoint."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor

from poa_mm.errors import UserError
from poa_mm.files import differing_shapes, first_non_finite, load_weights
from poa_mm.models.backbones import ElasticBackbone
from poa_mm.registry import MODELS, check_types

from .extracted import is_extracted
from .inputs import config_inputs, describe_data

PREFIXES = {'teacher': 'teacher.backbone.', 'student': 'backbone.'}


def load_pretrained(
    checkpoint: str | Path,
    cfg: Config | None = None,
    branch: str | None = None,
    contents: Mapping[str, Any] | None = None,
) -> tuple[ElasticBackbone, dict]:
    """The backbone of a pre-training checkpoint, in evaluation mode on the CPU.

    It is built from the config that the checkpoint holds. Nothing in the file is executed.

    Args:
        checkpoint: A file that pre-training wrote.
        cfg: A config that must describe the same space; needed where the checkpoint holds none.
        branch: ``'teacher'`` or ``'student'``; ``None`` for the teacher, or the student if
            there is no teacher (SEED).
        contents: Of the file, where it has been read.

    Returns:
        The backbone, and where it came from: ``checkpoint``, ``branch``, ``iteration``, ``seed``,
        ``experiment_name``, ``data``, ``img_size``, ``mean`` and ``std`` of its images, and the config ``cfg``.

    Raises:
        UserError: If the file does not exist.
        UserError: If it holds NaN or infinite values.
        UserError: If it is not a pre-training checkpoint, or its space is not the config's.
    """
    if branch not in (None, *PREFIXES):
        raise UserError(f'branch must be one of {list(PREFIXES)}, got {branch!r}')
    contents = load_weights(checkpoint) if contents is None else contents
    branch, weights = _backbone_weights(contents, checkpoint, branch)
    meta = contents['meta']
    own_cfg = read_config(meta['cfg']) if isinstance(meta.get('cfg'), str) else None
    if own_cfg is not None:
        backbone_cfg = (own_cfg.get('model') or {}).get('backbone') or {}
        # init_cfg is not used: the weights are those of the checkpoint.
        named = {**backbone_cfg, 'init_cfg': None}
        check_types(named, f'the config in {checkpoint}', lambda cls: issubclass(cls, ElasticBackbone))
    elif cfg is None:
        raise UserError(f'{checkpoint} holds no config: give the config that it was trained with')
    backbone = build_backbone(own_cfg or cfg)
    if own_cfg and cfg is not None:
        with torch.device('meta'):
            _check_same_space(checkpoint, backbone, build_backbone(cfg))
    _check_shapes(checkpoint, weights, backbone.state_dict(), 'its config' if own_cfg else 'the config')
    if bad := first_non_finite(weights):
        raise UserError(f'{checkpoint} is of a run that failed: {bad} of the {branch} holds NaN or infinite values')
    backbone.load_state_dict(weights)
    source = dict(checkpoint=str(checkpoint), branch=branch, iteration=meta.get('iter'), seed=meta.get('seed'))
    source.update(experiment_name=meta.get('experiment_name'), data=describe_data(own_cfg or cfg), cfg=own_cfg or cfg)
    return backbone.eval(), {**source, **config_inputs(own_cfg or cfg)}


def build_backbone(cfg: Config, seed: int = 0) -> ElasticBackbone:
    """The untrained backbone of a pre-training config, in evaluation mode; the random state stays.

    Raises:
        UserError: If the config has no elastic backbone.
    """
    backbone_cfg = cfg.get('model', {}).get('backbone')
    if backbone_cfg is None:
        raise UserError(f'{cfg.filename or "the config"} has no model.backbone: it is not a pre-training config')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # Whatever toolbox's program calls this, the config speaks of ours.
        backbone = MODELS.build({'_scope_': 'poa_mm', **backbone_cfg, 'init_cfg': None})
    if not isinstance(backbone, ElasticBackbone):
        raise UserError(f'model.backbone must be elastic, got {backbone_cfg["type"]}')
    return backbone.eval()


def read_config(text: str) -> Config:
    """The config that MMEngine wrote as Python text: literals and ``dict(...)`` only, never executed.

    A value that is something else becomes ``None``.

    Raises:
        UserError: If the text is not a config.
    """
    try:
        assignments = [node for node in ast.parse(text).body if isinstance(node, ast.Assign)]
        return Config({node.targets[0].id: _literal(node.value) for node in assignments})
    except (SyntaxError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f'the config that the checkpoint holds cannot be read: {error}') from error


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'dict':
        merged = _literal(node.args[0]) if node.args else {}
        return {**merged, **{k.arg: _literal(k.value) for k in node.keywords}}
    if isinstance(node, ast.Dict):
        return {_literal(k): _literal(v) for k, v in zip(node.keys, node.values)}
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_literal(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _backbone_weights(
    contents: Mapping[str, Any], checkpoint: str | Path, branch: str | None
) -> tuple[str, dict[str, Tensor]]:
    """The branch, and the weights of its backbone."""
    meta, state_dict = contents.get('meta'), contents.get('state_dict')
    if is_extracted(contents):
        raise UserError(f'{checkpoint} is an extracted sub-network ({meta["subnet"]}), not a pre-training checkpoint')
    if not isinstance(meta, dict) or not isinstance(state_dict, dict):
        raise UserError(f'{checkpoint} is not a pre-training checkpoint: it lacks meta or state_dict')
    found = {
        name: {k.removeprefix(prefix): v for k, v in state_dict.items() if k.startswith(prefix)}
        for name, prefix in PREFIXES.items()
    }
    if branch is None and found['student'] and not found['teacher']:
        branch = 'student'
        print_log(f'{checkpoint} has no teacher: using the student')
    branch = branch or 'teacher'
    if not found[branch]:
        raise UserError(f'{checkpoint} is not a pre-training checkpoint: it has no weights named {PREFIXES[branch]}*')
    return branch, found[branch]


def _check_same_space(checkpoint: str | Path, own: ElasticBackbone, given: ElasticBackbone) -> None:
    if (own.space.widths, own.space.stages) != (given.space.widths, given.space.stages):
        raise UserError(
            f'{checkpoint} is a checkpoint of another space than the config: in the checkpoint '
            f'{own.space.describe()}; in the config {given.space.describe()}'
        )
    _check_shapes(checkpoint, own.state_dict(), given.state_dict(), 'the config')


def _check_shapes(checkpoint: str | Path, weights: dict[str, Tensor], expected: dict[str, Tensor], where: str) -> None:
    for name, found, wanted in differing_shapes(weights, expected):
        raise UserError(
            f'{checkpoint} is a checkpoint of another space than {where}: {name} is {found} in the checkpoint, '
            f'{wanted} by {where}'
        )

"""Checks that the file a backbone starts from fits it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import Tensor, nn

from poa_mm.errors import UserError, listed
from poa_mm.extraction import is_extracted
from poa_mm.files import load_weights
from poa_mm.models.backbones import family_of
from poa_mm.models.wrapping import unwrapped
from poa_mm.registry import HOOKS

from ..start_file import find_pretrained, loaded_as

LISTED, LISTED_SHAPES = 20, 3  # the rest is counted


@HOOKS.register_module()
class BackboneCheckHook(Hook):
    """Compares the file that the backbone starts from with the backbone, before training does anything.

    MMEngine's loader, and those of mmdet's and mmseg's Swin, only log what does not fit, and mmdet's Swin skips
    silently what does not begin with ``backbone.``. Here every weight must be in the file under its name and in its
    shape, and no other; only what the backbone resizes while loading (positions, in mmpretrain's ViT) may have another
    shape.

    The file is the ``checkpoint`` of the backbone's ``init_cfg`` of type ``Pretrained``, also within
    ``FrozenBackbone``; the ``teacher`` of a model is checked the same way. Without one there is nothing to check. A
    file that is not a path (``https://``, ``torchvision://``) is not checked, which the log says.

    Raises:
        UserError: If the file does not exist.
        UserError: If it does not fit: what is missing, unexpected or of another shape.
    """

    priority = 'VERY_HIGH'  # before hooks that copy the model

    def before_run(self, runner: Runner) -> None:
        """Check once: of what a runner calls after it is built, this comes first, before weights are loaded."""
        if not isinstance(runner._train_loop, BaseLoop):
            return  # a test: weights come from the checkpoint under test
        for part in ('backbone', 'teacher'):
            backbone, init_cfg = find_pretrained(unwrapped(runner.model), part)
            if init_cfg is None:
                continue
            if '://' in str(init_cfg['checkpoint']):
                print_log(f'{init_cfg["checkpoint"]} is not a file: not compared with the backbone', logger='current')
            else:
                check_backbone(backbone, init_cfg)


def check_backbone(backbone: nn.Module, init_cfg: Mapping[str, Any]) -> None:
    """Compare a backbone with the file that its ``init_cfg`` names.

    Raises:
        UserError: If the file does not exist.
        UserError: If it does not fit.
    """
    path, prefix = init_cfg['checkpoint'], init_cfg.get('prefix')
    if not Path(path).is_file():
        folder = Path(path).parent
        toolbox = f' --format {folder.name}' if folder.name in ('mmdet', 'mmseg') else ''
        raise UserError(
            f'{path} does not exist; it is written by: '
            f'poa extract CHECKPOINT --subnets {Path(path).stem}{toolbox} --out {folder}'
        )
    contents = load_weights(path)
    weights = contents.get('state_dict', contents)
    names = [name for name, value in weights.items() if isinstance(value, Tensor)]
    if any(name.startswith('teacher.backbone.') for name in names):
        raise UserError(
            f'{path} is a pre-training checkpoint, which holds all sub-networks: extract one first, with '
            'poa extract and the --format of the toolbox'
        )
    found = {loaded_as(backbone, name, prefix): weights[name] for name in names}
    found.pop(None, None)
    pretrain_only = getattr(backbone, 'pretrain_only', ())  # of an elastic backbone; no extracted file has them
    expected = {name: value for name, value in backbone.state_dict().items() if name not in pretrain_only}
    missing = [name for name in expected if name not in found]
    shapes = [
        f'{name} is {tuple(found[name].shape)} in the file, {tuple(value.shape)} in the backbone'
        for name, value in expected.items()
        if name in found and found[name].shape != value.shape and not _is_resized(backbone, name, found[name])
    ]
    problems = {
        'other shapes': listed(shapes, LISTED_SHAPES),
        'missing': listed(missing, LISTED),
        'unexpected': listed([name for name in found if name not in expected], LISTED),
        'skipped by its loader': listed(
            [name for name in names if missing and loaded_as(backbone, name, prefix) is None], LISTED
        ),
    }
    if any(problems.values()):
        found = '; '.join(f'{kind}: {items}' for kind, items in problems.items() if items)
        raise UserError(
            f'{path}{_origin(contents)} does not fit the backbone {type(backbone).__name__}: {found}; '
            "the file must hold the backbone's size, written by poa extract with the --format of its toolbox"
        )


def _is_resized(backbone: nn.Module, name: str, value: Tensor) -> bool:
    """Whether the backbone resizes this weight while it loads the file."""
    family, _ = family_of(backbone)
    return family is not None and family.is_resized(backbone, name, value)


def _origin(contents: Mapping[str, Any]) -> str:
    if not is_extracted(contents):
        return ''
    meta = contents['meta']
    return f' (sub-network {meta["subnet"]}, --format {meta.get("format", "mmpretrain")})'

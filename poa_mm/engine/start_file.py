"""The file that a downstream model's backbone starts from."""

from __future__ import annotations

from mmengine.model import PretrainedInit
from torch import nn

from poa_mm.errors import UserError
from poa_mm.extraction import ExtractedNetwork
from poa_mm.models.backbones import family_of


def find_pretrained(model: nn.Module, part: str = 'backbone') -> tuple[nn.Module | None, dict | None]:
    """A backbone of a model and its ``init_cfg`` of type ``Pretrained``; ``None`` for what there is not.

    Args:
        model: The model.
        part: Its attribute: ``'backbone'``, or ``'teacher'`` of one that distils.
    """
    backbone = getattr(model, part, None)
    while backbone is not None:
        init_cfg = getattr(backbone, 'init_cfg', None)
        for cfg in init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]:
            if cfg and cfg['type'] in ('Pretrained', PretrainedInit):
                return backbone, cfg
        backbone = getattr(backbone, 'backbone', None)
    return None, None


def loaded_as(backbone: nn.Module, name: str, prefix: str | None) -> str | None:
    """The weight that a name in the file is loaded into, ``None`` if the backbone's loader skips it."""
    family, static_type = family_of(backbone)
    if family is not None and static_type in family.loader_prefixes:
        return family.loaded_as(static_type, name)
    if prefix is not None:
        prefix = prefix.rstrip('.') + '.'
        return name.removeprefix(prefix) if name.startswith(prefix) else None
    return name.removeprefix('module.')


def find_scales(model: nn.Module) -> dict[str, float]:
    """The factor that extraction folded into each parameter of a model's backbone, by the backbone's names.

    Raises:
        UserError: If the backbone does not start from an extracted network.
    """
    backbone, init_cfg = find_pretrained(model)
    if init_cfg is None or '://' in str(init_cfg['checkpoint']):
        raise UserError(
            'scaled_lr needs the factors in the extracted file that the backbone starts from: name it in init_cfg, or '
            'set scaled_lr=False'
        )
    scales = ExtractedNetwork.load(init_cfg['checkpoint']).scales
    return {loaded_as(backbone, name, None): factor for name, factor in scales.items()}

"""The images that a network expects: their size, mean and standard deviation, resolved in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from poa_mm.models.data_preprocessor import MEAN, STD

DEFAULTS = dict(img_size=224, mean=list(MEAN), std=list(STD))


def resolve_inputs(*sources: Mapping[str, Any] | None) -> dict[str, Any]:
    """Image size in pixels, mean and std of R, G, B in levels of 0 to 255, each from the first source that has it.

    The keys are ``img_size``, ``mean`` and ``std``. Callers pass the sources in this order: an explicit option, the
    protocol's section of the config, the extracted file or the checkpoint, the pre-training config
    (:func:`config_inputs`), the backbone. What none of them has is :data:`DEFAULTS`.

    Args:
        *sources: Mappings with some of the three keys; a source or a value that is ``None`` counts as missing.
    """
    found = {}
    for key, default in DEFAULTS.items():
        values = (source.get(key) for source in sources if source is not None)
        found[key] = next((value for value in values if value is not None), default)
    return found


def config_inputs(cfg: Config) -> dict[str, Any]:
    """The inputs that a pre-training config trains with: size of the global crops, mean and std of its preprocessor.

    What the config does not say is ``None``; a model without a preprocessor has ``MultiCropPreprocessor``'s defaults.
    """
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    size = ((dataset.get('views') or {}).get('global_1') or {}).get('size')
    if 'model' not in cfg:
        return dict(img_size=size, mean=None, std=None)
    preprocessor = cfg.model.get('data_preprocessor') or {}
    levels = {key: list(preprocessor.get(key) or DEFAULTS[key]) for key in ('mean', 'std')}
    return dict(img_size=size, **levels)


CROP_SHARE = 7 / 8
"""Side of the centre crop over the resized short side: 224 of 256 pixels (POA, sec. 4.2)."""


def short_side(crop: int) -> int:
    """Length in pixels that an image's short side is resized to before the centre of ``crop`` pixels is cut out."""
    return round(crop / CROP_SHARE)


def unit_levels(inputs: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """Mean and std of R, G, B for levels of 0 to 1, as timm and transformers have them."""
    resolved = resolve_inputs(inputs)
    mean, std = ([level / 255 for level in resolved[key]] for key in ('mean', 'std'))
    return mean, std


def describe_data(cfg: Config) -> str | None:
    """Type and folder of the images that a pre-training config trains on; ``None`` if it does not say."""
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    while isinstance(dataset.get('dataset'), dict):
        dataset = dataset['dataset']
    folders = (dataset.get(key) for key in ('data_root', 'data_prefix', 'root'))
    words = [dataset.get('type'), *folders]
    return ' '.join(word for word in words if isinstance(word, str)) or None

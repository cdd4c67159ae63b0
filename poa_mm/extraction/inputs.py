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

"""DistributedDataParallel and the like around a model, and the prefix that they leave in saved weights."""

from collections.abc import Mapping
from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself."""
    return model.module if is_model_wrapper(model) else model


def plain_weights(contents: Mapping[str, Any]) -> dict[str, Any]:
    """The weights in a checkpoint by the names of the model itself."""
    return {name.removeprefix('module.'): value for name, value in contents.get('state_dict', contents).items()}

"""DistributedDataParallel and the like around a model, and the prefix that they leave in saved weights."""

from collections.abc import Mapping
from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def unwrapped(runner: Runner) -> nn.Module:
    """The model itself."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model


def plain_weights(contents: Mapping[str, Any]) -> dict[str, Any]:
    """The weights in a checkpoint by the names of the model itself."""
    return {name.removeprefix('module.'): value for name, value in contents.get('state_dict', contents).items()}

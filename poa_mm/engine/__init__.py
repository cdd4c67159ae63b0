"""Optimizer, schedules and hooks of the pre-training."""

from .hooks import (
    AtomicCheckpointHook,
    BatchSizeCheckHook,
    FreezeLastLayerHook,
    LazyRuntimeInfoHook,
    PretrainScheduleHook,
    TeacherEMAHook,
)
from .optim_constructor import LayerDecayOptimWrapperConstructor
from .optim_wrapper import PoaOptimWrapper
from .schedulers import CosineLR, CosineWeightDecay
from .schedules import cosine, full_length, linear

__all__ = [
    'AtomicCheckpointHook',
    'BatchSizeCheckHook',
    'CosineLR',
    'CosineWeightDecay',
    'FreezeLastLayerHook',
    'LayerDecayOptimWrapperConstructor',
    'LazyRuntimeInfoHook',
    'PoaOptimWrapper',
    'PretrainScheduleHook',
    'TeacherEMAHook',
    'cosine',
    'full_length',
    'linear',
]

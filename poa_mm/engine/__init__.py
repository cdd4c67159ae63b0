"""Optimizer, schedules and hooks of the pre-training."""

from .hooks import (
    AtomicCheckpointHook,
    BackboneCheckHook,
    BatchSizeCheckHook,
    Bf16GradientsHook,
    DatasetCheckHook,
    FreezeLastLayerHook,
    LazyRuntimeInfoHook,
    ProgressHook,
    TeacherEMAHook,
    WarmUpHook,
)
from .loops import ResumableEpochLoop, StepTrainLoop
from .optim_constructor import LayerDecayOptimWrapperConstructor
from .optim_wrapper import PoaOptimWrapper
from .schedulers import CosineLR, CosineWeightDecay, ProportionalCosineLR
from .schedules import cosine, full_length
from .screen import ScreenRunner
from .sharded_adamw import ShardedAdamW

__all__ = [
    'AtomicCheckpointHook',
    'BackboneCheckHook',
    'BatchSizeCheckHook',
    'Bf16GradientsHook',
    'CosineLR',
    'CosineWeightDecay',
    'DatasetCheckHook',
    'FreezeLastLayerHook',
    'LayerDecayOptimWrapperConstructor',
    'LazyRuntimeInfoHook',
    'PoaOptimWrapper',
    'ProgressHook',
    'ProportionalCosineLR',
    'ResumableEpochLoop',
    'ScreenRunner',
    'ShardedAdamW',
    'StepTrainLoop',
    'TeacherEMAHook',
    'WarmUpHook',
    'cosine',
    'full_length',
]

"""Optimizer, schedules and hooks of the pre-training."""

from .fully_sharded import FullyShardedPOA
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
from .runner import PoaRunner
from .schedulers import CosineLR, CosineWeightDecay, ProportionalCosineLR
from .schedules import cosine, full_length

__all__ = [
    'AtomicCheckpointHook',
    'BackboneCheckHook',
    'BatchSizeCheckHook',
    'Bf16GradientsHook',
    'CosineLR',
    'CosineWeightDecay',
    'DatasetCheckHook',
    'FreezeLastLayerHook',
    'FullyShardedPOA',
    'LayerDecayOptimWrapperConstructor',
    'LazyRuntimeInfoHook',
    'PoaOptimWrapper',
    'PoaRunner',
    'ProgressHook',
    'ProportionalCosineLR',
    'ResumableEpochLoop',
    'StepTrainLoop',
    'TeacherEMAHook',
    'WarmUpHook',
    'cosine',
    'full_length',
]

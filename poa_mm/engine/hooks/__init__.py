"""Hooks of the pre-training."""

from .batch_size import BatchSizeCheckHook
from .checkpoint import AtomicCheckpointHook
from .freeze_last_layer import FreezeLastLayerHook
from .knn_hook import KnnHook
from .pretrain_schedule import PretrainScheduleHook
from .runtime_info import LazyRuntimeInfoHook
from .teacher_ema import TeacherEMAHook

__all__ = [
    'AtomicCheckpointHook',
    'BatchSizeCheckHook',
    'FreezeLastLayerHook',
    'KnnHook',
    'LazyRuntimeInfoHook',
    'PretrainScheduleHook',
    'TeacherEMAHook',
]

"""Hooks of the pre-training."""

from .backbone_check import BackboneCheckHook
from .batch_size import BatchSizeCheckHook
from .checkpoint import AtomicCheckpointHook
from .dataset_check import DatasetCheckHook
from .freeze_last_layer import FreezeLastLayerHook
from .label_map_check import LabelMapCheckHook
from .progress import ProgressHook
from .runtime_info import LazyRuntimeInfoHook
from .teacher_ema import TeacherEMAHook

__all__ = [
    'AtomicCheckpointHook',
    'BackboneCheckHook',
    'BatchSizeCheckHook',
    'DatasetCheckHook',
    'FreezeLastLayerHook',
    'LabelMapCheckHook',
    'LazyRuntimeInfoHook',
    'ProgressHook',
    'TeacherEMAHook',
]

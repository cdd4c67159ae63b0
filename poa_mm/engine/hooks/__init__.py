"""Hooks of the pre-training."""

from .backbone_check import BackboneCheckHook
from .batch_size import BatchSizeCheckHook
from .bf16_gradients import Bf16GradientsHook
from .checkpoint import AtomicCheckpointHook
from .collapse import CollapseHook
from .dataset_check import DatasetCheckHook
from .finite_check import FiniteCheckHook
from .freeze_last_layer import FreezeLastLayerHook
from .interrupt import InterruptHook
from .label_map_check import LabelMapCheckHook
from .progress import ProgressHook
from .runtime_info import LazyRuntimeInfoHook
from .start_check import StartCheckHook
from .teacher_ema import TeacherEMAHook
from .warm_up import WarmUpHook
from .watch_step import WatchStepHook

__all__ = [
    'AtomicCheckpointHook',
    'BackboneCheckHook',
    'BatchSizeCheckHook',
    'Bf16GradientsHook',
    'CollapseHook',
    'DatasetCheckHook',
    'FiniteCheckHook',
    'FreezeLastLayerHook',
    'InterruptHook',
    'LabelMapCheckHook',
    'LazyRuntimeInfoHook',
    'ProgressHook',
    'StartCheckHook',
    'TeacherEMAHook',
    'WarmUpHook',
    'WatchStepHook',
]

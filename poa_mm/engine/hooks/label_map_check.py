"""Early word about label maps that are missing or hold unknown labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner

from poa_mm.errors import UserError
from poa_mm.models.wrapping import unwrapped
from poa_mm.registry import HOOKS


@HOOKS.register_module()
class LabelMapCheckHook(Hook):
    """Looks at the label maps of mmseg's data sets before the first step.

    Without it a missing map stops a worker in the middle of the training, and a label beyond the classes ends in an
    error of the loss that names neither file nor value.

    Args:
        samples: Label maps of each data set that are read, evenly spaced; that they exist is checked of all.

    Raises:
        UserError: An image has no label map.
        UserError: A map contains a label without a class, or the head has another number of classes than the data.
    """

    def __init__(self, samples: int = 50) -> None:
        self.samples = samples

    def before_train(self, runner: Runner) -> None:
        """Check the data of the training and of the validation."""
        num_classes = unwrapped(runner.model).decode_head.num_classes
        check_label_maps(runner.train_dataloader.dataset, num_classes, self.samples)
        if runner.val_loop is not None:
            check_label_maps(runner.val_dataloader.dataset, num_classes, self.samples)

    def before_test(self, runner: Runner) -> None:
        """Check the data of the test."""
        check_label_maps(runner.test_dataloader.dataset, unwrapped(runner.model).decode_head.num_classes, self.samples)


def check_label_maps(dataset: BaseDataset, num_classes: int, samples: int) -> None:
    """Check one data set; see :class:`LabelMapCheckHook` for what is raised.

    Args:
        dataset: One of mmseg's, or a wrapper around such.
        num_classes: Classes that the head knows.
        samples: Label maps that are read.
    """
    classes = dataset.metainfo.get('classes', ())
    if len(classes) != num_classes:
        raise UserError(
            f'decode_head.num_classes is {num_classes}, but {type(dataset).__name__} has {len(classes)} classes'
        )
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    infos = [info for info in infos if info.get('seg_map_path')]
    for info in infos:
        if not Path(info['seg_map_path']).is_file():
            raise UserError(f'{info["img_path"]} has no label map: {info["seg_map_path"]} does not exist')
    for i in sorted({round(i) for i in np.linspace(0, len(infos) - 1, min(samples, len(infos)))}):
        _check_labels(infos[i], num_classes)


def _check_labels(info: dict[str, Any], num_classes: int) -> None:
    labels = np.unique(mmcv.imread(info['seg_map_path'], flag='unchanged', backend='pillow'))
    known = len(info.get('label_map') or range(num_classes))
    first = int(bool(info.get('reduce_zero_label')))  # then classes begin at 1
    wrong = [int(label) for label in labels if not (label == 255 or 0 <= label < known + first)]
    if wrong:
        raise UserError(
            f'{info["seg_map_path"]} has the labels {wrong[:5]}, but the {known} classes are '
            f'{first} to {known + first - 1}' + (', 0 and 255 mean none' if first else ', 255 means none')
        )

"""Early word about annotations that do not fit the classes of a detector."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from poa_mm.errors import UserError, listed
from poa_mm.models.wrapping import unwrapped
from poa_mm.registry import HOOKS


@HOOKS.register_module()
class DatasetCheckHook(Hook):
    """Compares the categories of COCO annotation files with the classes of their data sets and of the model.

    ``mmdet.CocoDataset`` drops what is of an unknown category, numbers the others as the file lists them, and says
    nothing of either: a detector then learns wrong labels, or none. The main process reads each file once more.

    Args:
        allow_dropped: Whether a file may have categories that are not learned, as where some classes are chosen.

    Raises:
        UserError: Other categories, another order, or a head for another number of classes; before the first step.
    """

    def __init__(self, allow_dropped: bool = False) -> None:
        self.allow_dropped = allow_dropped

    def before_run(self, runner: Runner) -> None:
        """Check once."""
        if not is_main_process():
            return
        checked = set()
        for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
            # What is not to run is still a config, or missing.
            dataset = getattr(getattr(loop, 'dataloader', None), 'dataset', None)
            for part in _coco_datasets(dataset):
                classes = tuple(part.metainfo['classes'])
                if (part.ann_file, classes) not in checked:
                    self._check_file(part.ann_file, classes)
                    _check_heads(unwrapped(runner.model), part.ann_file, classes)
                checked.add((part.ann_file, classes))

    def _check_file(self, path: str, classes: tuple[str, ...]) -> None:
        with open(path) as file:
            found = [category['name'] for category in json.load(file)['categories']]
        missing = [name for name in classes if name not in found]
        dropped = [name for name in found if name not in classes]
        advice = 'set metainfo=dict(classes=(...)) of the dataset and num_classes of the heads'
        if missing:
            raise UserError(
                f'{path} has no category {_some(missing)} of the {len(classes)} classes of its dataset; '
                f'it has {_some(found)}: {advice}'
            )
        if dropped and not self.allow_dropped:
            raise UserError(
                f'{path} has categories that are not classes of its dataset, {_some(dropped)}: {advice}, '
                'or DatasetCheckHook(allow_dropped=True) if they are to be left out'
            )
        known = [name for name in found if name in classes]
        if known != list(classes):
            raise UserError(
                f'{path} lists its categories in another order than the classes of its dataset, {_some(known)} and '
                f'{_some(classes)}: labels would be exchanged; {advice} in the order of the file'
            )


def _check_heads(model: nn.Module, path: str, classes: tuple[str, ...]) -> None:
    for name, module in model.named_modules():
        number = getattr(module, 'num_classes', None)
        # A proposal network has one class, an object.
        if isinstance(number, int) and '_head' in name and 'rpn_head' not in name and number != len(classes):
            raise UserError(
                f'model.{name} has num_classes={number}, but the dataset of {path} has {len(classes)} classes'
            )


def _coco_datasets(dataset: Any) -> Iterator[Any]:
    """Those that read a COCO file, out of any wrappers."""
    if hasattr(dataset, 'cat2label') and getattr(dataset, 'ann_file', ''):
        yield dataset
    for part in getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]:
        if part is not None:
            yield from _coco_datasets(part)


def _some(names: Iterable[str]) -> str:
    return listed(map(repr, names), 5)

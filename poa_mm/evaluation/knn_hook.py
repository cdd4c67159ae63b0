"""k-NN accuracy of the teacher's sub-networks while it is trained."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset, Subset

from poa_mm.errors import UserError
from poa_mm.extraction import config_inputs, resolve_inputs
from poa_mm.models.wrapping import unwrapped
from poa_mm.registry import HOOKS

from .comparison import merge_settings, open_images
from .features import FeatureReader, SubnetFeatures
from .images import open_split_pair
from .knn import check_ks, evaluate_knn, paper_ks
from .knn_protocol import KNN_DEFAULTS


@HOOKS.register_module()
class KnnHook(Hook):
    """Evaluates sub-networks of the teacher by k-NN at regular intervals.

    The accuracies go to the message hub (``val/knn_S``, per cent, the best k), to the log and to the
    visualizer's backends. Training is not affected: the losses are those without the hook, bit for bit on the
    CPU. Several processes share the images; each must run the hook.

    ::

        dict(type='KnnHook', interval=1000, subnets=['named'], gallery=5000, queries=1000,
             train='data/imagenet/train', val='data/imagenet/val')

    Args:
        interval: Iterations between two evaluations; there is one more after the last iteration.
        train: The gallery: a folder with one sub-folder per class, or the config of a dataset. The default of this
            and the following settings of the data is in the config's ``knn``.
        val: The queries, a folder or a config.
        subnets: What :meth:`SubnetSpace.select` takes.
        gallery: Maximum number of images of ``train``, evenly spaced; ``None`` for all.
        queries: Maximum number of images of ``val``, evenly spaced; ``None`` for all.
        ks: Numbers of neighbours; default: :func:`paper_ks`.
        temperature: Of the votes' weights (POA: 0.07).
        resize: Short side in pixels; by default 8/7 of the crop.
        crop: Centre crop in pixels; by default what the backbone is made for.
        batch_size: Images at a time in each process.
        num_workers: Reading processes for each process.
        amp: Whether features are computed in bfloat16.

    Raises:
        UserError: If the interval or a number of images is not positive.
    """

    # The teacher is up to date (HIGH) and the logger has not printed yet (BELOW_NORMAL).
    priority = 'NORMAL'

    def __init__(
        self,
        interval: int,
        train: str | Mapping | None = None,
        val: str | Mapping | None = None,
        subnets: Sequence[str] = ('named',),
        gallery: int | None = None,
        queries: int | None = None,
        ks: Sequence[int] | None = None,
        temperature: float | None = None,
        resize: int | None = None,
        crop: int | None = None,
        batch_size: int = 64,
        num_workers: int = 2,
        amp: bool = False,
    ) -> None:
        for name, number in dict(interval=interval, gallery=gallery, queries=queries).items():
            if number is not None and number < 1:
                raise UserError(f'{name} of KnnHook must be at least 1, got {number}')
        self.interval, self.subnets, self.sizes = interval, subnets, (gallery, queries)
        options = dict(train=train, val=val, ks=ks, temperature=temperature, resize=resize, crop=crop)
        self.options = {key: value for key, value in options.items() if value is not None}
        self.reading = dict(batch_size=batch_size, num_workers=num_workers, amp=amp)

    def before_train(self, runner: Runner) -> None:
        """Open the data, so that mistakes show before the training and not at the first evaluation.

        Raises:
            UserError: If the data are missing.
            UserError: If a setting makes no sense, or the gallery is smaller than a k.
        """
        with undisturbed():
            backbone = unwrapped(runner.model).teacher.backbone
            inputs = resolve_inputs(config_inputs(runner.cfg), dict(img_size=backbone.img_size))
            settings = merge_settings(runner.cfg, 'knn', KNN_DEFAULTS, inputs, self.options)
            pair = open_split_pair(settings.get('train'), settings.get('val'))
            self.images = [open_images(_evenly(dataset, size), settings) for dataset, size in zip(pair, self.sizes)]
            ks = paper_ks(len(self.images[0])) if settings['ks'] is None else settings['ks']
            self.ks, self.temperature = sorted(set(ks)), settings['temperature']
            check_ks(self.ks, len(self.images[0]), self.temperature)
            self.selected = backbone.space.select(self.subnets)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Evaluate at the interval and after the last iteration."""
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner):
            with undisturbed():
                self.evaluate(runner)

    def evaluate(self, runner: Runner) -> dict[str, float]:
        """Accuracy in per cent of every chosen sub-network, at its best k; logged under ``val/knn_NAME``."""
        start = time.perf_counter()
        model = unwrapped(runner.model)
        backbone, preprocessor = model.teacher.backbone, model.data_preprocessor
        names = {backbone.space.name(subnet): subnet for subnet in self.selected}
        reader = FeatureReader(
            {name: SubnetFeatures(backbone, subnet) for name, subnet in names.items()},
            preprocessor.mean.flatten().tolist(),
            preprocessor.std.flatten().tolist(),
            device=next(backbone.parameters()).device,
            progress=False,
            **self.reading,
        )
        found = evaluate_knn(reader, *self.images, self.ks, self.temperature)
        reader.all_unreadable()
        values = {f'knn_{name}': max(accuracy.values()) for name, accuracy in found.items()}
        for name, value in values.items():
            runner.message_hub.update_scalar(f'val/{name}', value)
        runner.visualizer.add_scalars(values, step=runner.iter + 1, file_path=f'{runner.timestamp}.json')
        text = '  '.join(f'{name.removeprefix("knn_")}: {value:.2f}' for name, value in values.items())
        seconds = time.perf_counter() - start
        runner.logger.info(f'k-NN after {runner.iter + 1} iterations, %  {text}  ({seconds:.0f} s)')
        return values


@contextmanager
def undisturbed() -> Iterator[None]:
    """Restores all random states at the end; gradients are off inside."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


class Part(Subset):
    """Some images of a data set, with what is read of a data set besides its items."""

    @property
    def metainfo(self) -> dict:
        return self.dataset.metainfo

    def get_data_info(self, index: int) -> dict:
        """Path and label of an image, without reading it."""
        return self.dataset.get_data_info(self.indices[index])


def _evenly(dataset: Dataset, size: int | None) -> Dataset:
    """At most ``size`` images, evenly spaced, so balanced if the images are ordered by class."""
    if size is None or size >= len(dataset):
        return dataset
    return Part(dataset, [int(i) for i in np.linspace(0, len(dataset) - 1, size).round()])

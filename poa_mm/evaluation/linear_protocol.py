"""Linear probing, from the options to the record; the sub-networks share each pass over the images."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import DataLoader

from poa_mm.datasets.sampler import SeededInfiniteSampler
from poa_mm.errors import UserError
from poa_mm.files import load_weights, write_atomically
from poa_mm.models.backbones import ElasticBackbone
from poa_mm.reporting.tables import spans

from .comparison import Comparison, EvalOptions, open_comparison
from .features import FeatureReader, SubnetFeatures, progress_bar
from .images import EvalImages, TrainImages, check_same_classes
from .linear import (
    LEARNING_RATES,
    MOMENTUM,
    GridTrainer,
    LinearGrid,
    check_features,
    feature_kinds,
    probe_features,
)

LINEAR_DEFAULTS = dict(iters=12500, total_batch=2048, learning_rates=LEARNING_RATES, features=None, cached=False)


def run_linear(
    inputs: EvalOptions, save: str | Path | None = None, resume: bool = False, save_interval: int = 1000
) -> dict[str, Any]:
    """Train linear classifiers on frozen features of sub-networks; the best of each on validation is reported.

    Settings, beside those of the data, are ``iters``, ``total_batch`` (images of one iteration, shared by the
    processes), ``learning_rates`` (for a total batch of 256), ``features``: the kinds that are trained (by default all
    of :func:`feature_kinds`), and ``cached``: whether the features of the centre crops are computed once and kept,
    instead of those of new random crops in each iteration.

    Args:
        inputs: Arguments of the command.
        save: File for the state, and at the end for the best classifiers; one that another run wrote is replaced.
        resume: Whether to continue from that file if it exists.
        save_interval: Iterations between two savings.

    Returns:
        The content of a result file, of plain Python types.

    Raises:
        UserError: If a file or the data are missing, a setting makes no sense, features are not finite, ``save`` is a
            file of something else, or the saved state is of other settings, weights or classes.
    """
    if inputs.thumbnails:
        raise UserError('linear probing needs networks, it does not take --thumbnails')
    if resume and save is None:
        raise UserError('--resume needs --save FILE.pth, the file to resume from')
    comparison = open_comparison(inputs, 'linear', LINEAR_DEFAULTS)
    settings = comparison.settings
    _check(settings, save_interval)
    total_batch = settings['total_batch']
    reader = comparison.reader(
        {c.key: SubnetFeatures(c.backbone, c.subnet, probe_features) for c in comparison.candidates}, normalize=False
    )
    trainer = GridTrainer(_grids(comparison, total_batch), settings['iters'], total_batch)
    saved = SavedTraining(comparison, trainer, save, save_interval)
    train(comparison, reader, trainer, saved, saved.load() if resume else 0)
    correct, count = validate(reader, comparison.val, trainer.grids)
    results, best = [], {}
    for candidate in comparison.candidates:
        accuracy, grid = 100 * correct[candidate.key] / count, trainer.grids[candidate.key]
        found, best[candidate.key] = best_classifier(accuracy, grid, settings['learning_rates'])
        results.append({**candidate.record(), **found})
    saved.save(settings['iters'], best)
    settings.update(momentum=MOMENTUM)
    found = f': {spans(results)}'
    return comparison.record('linear', results, reader.all_unreadable(), 'linear probing', found, **settings)


def _check(settings: dict[str, Any], save_interval: int) -> None:
    settings['learning_rates'] = rates = [float(rate) for rate in settings['learning_rates']]
    if not rates or not all(0 < rate < math.inf for rate in rates) or len(set(rates)) < len(rates):
        raise UserError(f'learning rates must be positive, finite and different, got {rates}')
    for name, value in dict(settings, save_interval=save_interval).items():
        if name in ('iters', 'total_batch', 'save_interval') and value < 1:
            raise UserError(f'{name} must be at least 1, got {value}')
    if settings['total_batch'] % get_world_size():
        raise UserError(f'total_batch {settings["total_batch"]} must be a multiple of the {get_world_size()} processes')


def _grids(comparison: Comparison, total_batch: int) -> dict[str, LinearGrid]:
    """Untrained classifiers of every network."""
    settings = comparison.settings
    rates = [rate * total_batch / 256 for rate in settings['learning_rates']]
    grids = {}
    for c in comparison.candidates:
        kinds = feature_kinds(c.backbone, settings['crop'], c.subnet)
        if not set(wanted := settings['features'] or kinds) <= kinds.keys():
            raise UserError(f'features must be among {list(kinds)}, got {list(wanted)}')
        kinds = {kind: kinds[kind] for kind in wanted}
        grids[c.key] = LinearGrid(kinds, rates, comparison.classes, comparison.seed).to(comparison.inputs.device)
    return grids


def train(
    comparison: Comparison, reader: FeatureReader, trainer: GridTrainer, saved: SavedTraining, start: int = 0
) -> None:
    """Train all classifiers of all networks from iteration ``start``; each batch of images is read once.

    Raises:
        UserError: If features are not finite.
    """
    steps = comparison.settings['iters']
    make = _from_memory if comparison.settings['cached'] else _from_images
    if start >= steps:
        return
    with progress_bar(steps, 'linear', 'step', start) as bar:
        for step, (features, labels) in zip(range(start + 1, steps + 1), make(comparison, reader, start)):
            check_features(features)
            trainer.step(features, labels)
            bar.update()
            if step % saved.interval == 0:
                saved.save(step)


def _own_batch(comparison: Comparison) -> int:
    """Images of one iteration in this process."""
    return comparison.settings['total_batch'] // get_world_size()


def _draws(comparison: Comparison, start: int) -> SeededInfiniteSampler:
    """This process's draws; those of all processes together are the same for any number of processes."""
    sampler = SeededInfiniteSampler(comparison.train, batch_size=_own_batch(comparison), seed=comparison.seed)
    sampler.skip(start * _own_batch(comparison))
    return sampler


def _from_images(
    comparison: Comparison, reader: FeatureReader, start: int
) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Features and labels of random views, batch by batch."""
    loader = DataLoader(
        TrainImages(comparison.train),
        _own_batch(comparison),
        sampler=_draws(comparison, start),
        num_workers=comparison.inputs.num_workers,
        collate_fn=list,
        pin_memory=reader.device.type == 'cuda',
    )
    for items in loader:
        batch = reader.readable(items, 'train')
        if batch is None:  # the other processes still wait for this one
            yield reader.no_images(comparison.settings['crop'])[:2]
            continue
        # In pieces of the reading batch, which bounds the memory that the networks take.
        pieces = [reader.run(p, i) for p, i in zip(*(x.split(reader.batch_size) for x in (batch[0], batch[2])))]
        yield {name: torch.cat([piece[name] for piece in pieces]) for name in reader.networks}, batch[1]


def _from_memory(
    comparison: Comparison, reader: FeatureReader, start: int
) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """The same draws, but of the centre crops' features, which are computed once."""
    features, labels, index = reader.collect(comparison.train, 'train')
    row = torch.full((len(comparison.train),), -1, device=index.device)
    row[index] = torch.arange(len(index), device=index.device)
    size = _own_batch(comparison)
    draws = iter(_draws(comparison, start))
    while True:
        chosen = row[torch.tensor([next(draws).index for _ in range(size)], device=row.device)]
        chosen = chosen[chosen >= 0]
        yield {name: rows[chosen] for name, rows in features.items()}, labels[chosen]


def validate(reader: FeatureReader, val: EvalImages, grids: Mapping[str, LinearGrid]) -> tuple[dict[str, Tensor], int]:
    """Images that each classifier gets right, (kinds, R) by network, and the number of images; over all processes.

    Raises:
        UserError: If no image could be read, or features are not finite.
    """
    device = reader.device
    correct = {name: torch.zeros((len(g.kinds), len(g.learning_rates)), device=device) for name, g in grids.items()}
    count = torch.zeros(1, device=device)
    for features, labels, _ in reader.batches(val, 'val'):
        check_features(features)
        for name, grid in grids.items():
            correct[name] += grid.correct(features[name], labels)
        count += len(labels)
    for tensor in (count, *correct.values()):
        all_reduce(tensor, 'sum')
    if not count:
        raise UserError(f'none of the {len(val)} images of the validation set could be read')
    return {name: c.double().cpu() for name, c in correct.items()}, int(count)


def best_classifier(accuracy: Tensor, grid: LinearGrid, rates: Sequence[float]) -> tuple[dict[str, Any], dict]:
    """What a result file says of accuracies in per cent (kinds, R), and the best classifier: the first of equals.

    Args:
        accuracy: Of every classifier.
        grid: The classifiers.
        rates: Their learning rates, for a total batch of 256.
    """
    kinds = list(grid.kinds)
    kind, rate = divmod(int(accuracy.flatten().argmax()), len(rates))
    found = dict(
        accuracy={
            name: {f'{r:g}': round(value, 4) for r, value in zip(rates, row.tolist())}
            for name, row in zip(kinds, accuracy)
        },
        best=round(float(accuracy[kind, rate]), 4),
        best_setting=dict(features=kinds[kind], learning_rate=rates[rate]),
    )
    return found, grid.classifier(kinds[kind], rate)


class SavedTraining:
    """The file that a training continues from, and that its best classifiers are written to.

    Args:
        comparison: What is trained.
        trainer: Its state.
        path: ``None``: nothing is saved.
        interval: Iterations between two savings.

    Raises:
        UserError: If the file exists and ``poa linear`` did not write it.
    """

    def __init__(self, comparison: Comparison, trainer: GridTrainer, path: str | Path | None, interval: int) -> None:
        self.comparison, self.trainer, self.interval = comparison, trainer, interval
        self.path = None if path is None else Path(path)
        if self.path is None:
            return
        if self.path.exists():
            read_saved(self.path)
        keys = ('iters', 'learning_rates', 'cached', 'resize', 'crop', 'interpolation')
        self.meta = dict(
            {key: comparison.settings[key] for key in keys},
            total_batch=trainer.batch,
            seed=comparison.seed,
            classes=comparison.classes,
            train_images=len(comparison.train),
            networks=list(trainer.grids),
            features=list(dict.fromkeys(kind for grid in trainer.grids.values() for kind in grid.kinds)),
        )
        # What the classifiers belong to; files may be moved, so they are recorded, but the weights are compared.
        self.origin = dict(
            files=[source['file'] for source in comparison.sources],
            weights=checksums(comparison),
            classes=class_names(comparison.train),
        )

    def save(self, step: int, best: dict[str, dict] | None = None) -> None:
        """Write the state after ``step`` iterations, and at the end the best classifiers."""
        if self.path is None:
            return
        if is_main_process():
            content = dict(meta=self.meta, origin=self.origin, step=step, **self.trainer.state_dict())
            if best is not None:
                content['best'] = best
            write_atomically(self.path, lambda file: torch.save(content, file))
        barrier()

    def load(self) -> int:
        """Restore the classifiers; returns the number of iterations done.

        Raises:
            UserError: If the file was written with other settings, weights or classes.
        """
        if not self.path.is_file():
            print_log(f'nothing to resume: {self.path} does not exist', 'current', logging.WARNING)
            return 0
        content = read_saved(self.path)
        for key, value in self.meta.items():
            if content['meta'].get(key) != value:
                raise UserError(f'{self.path} was saved with {key} {content["meta"].get(key)}, not {value}')
        check_weights(content, self.path, self.comparison)
        check_same_classes(content['origin']['classes'], self.origin['classes'], f'{self.path} and the data')
        self.trainer.load_state_dict(content)
        return content['step']


def read_saved(path: str | Path) -> dict[str, Any]:
    """What ``poa linear --save`` wrote.

    Raises:
        UserError: If the file does not exist or holds something else.
    """
    content = load_weights(path)
    if not {'meta', 'origin', 'step', 'grids', 'optimizer', 'scheduler'} <= content.keys():
        raise UserError(f'{path} holds no classifiers of this version of poa linear')
    return content


def check_weights(content: Mapping[str, Any], path: str | Path, comparison: Comparison) -> None:
    """Check that classifiers were trained on the weights that the networks of a comparison have.

    Args:
        content: What :func:`read_saved` returns.
        path: The file.
        comparison: Networks without a classifier are left out.

    Raises:
        UserError: If one was trained on others.
    """
    origin = content['origin']
    for key, checksum in checksums(comparison).items():
        if origin['weights'].get(key, checksum) != checksum:
            files = ', '.join(origin['files']) or 'untrained networks'
            raise UserError(f'{path} was trained on {files}, where {key} has other weights')


def checksums(comparison: Comparison) -> dict[str, str]:
    """By key of every network a checksum of the weights that its features come from."""

    @cache  # a backbone has many sub-networks
    def checksum(backbone: ElasticBackbone) -> str:
        digest = hashlib.sha256()
        for tensor in backbone.state_dict().values():
            digest.update(tensor.cpu().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    return {candidate.key: checksum(candidate.backbone) for candidate in comparison.candidates}


def class_names(images: EvalImages) -> list[str] | None:
    """Names of the classes in order; ``None`` if the data set does not name them."""
    names = images.dataset.metainfo.get('classes')
    return list(names) if names else None

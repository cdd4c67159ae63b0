"""Accuracy with hidden patches and shuffled tiles (POA, appendix)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce
from torch import Tensor

from poa_mm.elastic import Subnet
from poa_mm.errors import UserError, listed
from poa_mm.models.backbones import ElasticBackbone
from poa_mm.reporting.tables import CORRUPTIONS

from .classifiers import open_classifiers
from .comparison import Comparison, EvalOptions, open_comparison
from .corruptions import divisors, occlude, orders, shuffle
from .features import FeatureReader, Network, SubnetFeatures
from .images import check_same_classes
from .knn import TEMPERATURE, NeighbourSearch, check_ks, neighbour_accuracy, search_gallery
from .linear import check_features, probe_features
from .linear_protocol import check_weights, class_names, read_saved

RATIOS = tuple(i / 10 for i in range(11))
ROBUSTNESS_DEFAULTS = dict(ratios=RATIOS, patches=None, grids=None, k=20, temperature=TEMPERATURE)
Grid = tuple[int, int]  # rows and columns of tiles
Variant = tuple[str, float | Grid]  # ('occlusion', ratio) or ('shuffling', grid)


class CorruptedReader(FeatureReader):
    """Runs each network on each corruption of each image; names are ``(network, variant)``.

    Args:
        *args: Of :class:`FeatureReader`.
        variants: The corruptions.
        patches: Patches along a side that are hidden one by one.
        seed: Of the order of patches and tiles.
        **kwargs: Of :class:`FeatureReader`.
    """

    def __init__(self, *args, variants: list[Variant], patches: int, seed: int, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.variants, self.patches, self.seed = variants, patches, seed
        self.plain = self.networks
        self.networks = {(name, variant): None for name in self.plain for variant in variants}

    @torch.no_grad()
    def run(self, pixels: Tensor, index: Tensor) -> dict[tuple[str, Variant], Tensor]:
        """Outputs of every network for every corruption of images (N, 3, S, S) uint8 with numbers ``index`` (N,)."""
        images = self.normalized(pixels)
        hidden = orders(index, self.patches**2, self.seed)
        found = {}
        for kind, level in self.variants:
            if kind == 'occlusion':
                changed = occlude(images, level, hidden)
            else:
                changed = shuffle(images, orders(index, level[0] * level[1], self.seed), level)
            outputs = self.outputs(self.plain, changed)
            found.update({(name, (kind, level)): output for name, output in outputs.items()})
        return found


def run_robustness(inputs: EvalOptions, classifiers: str | Path | None = None, trained: bool = False) -> dict[str, Any]:
    """Accuracy of every network on corrupted validation images, by k-NN or by trained classifiers.

    Settings, beside those of the data, are ``ratios`` of hidden patches, ``patches`` along a side (by default as
    many as cut the crop evenly, 14 at most: 14 at 224 px), ``grids`` of tiles (``4`` or ``'2x4'``, rows and columns; by
    default all square ones that cut the crop evenly, up to 14), ``k`` and ``temperature``.

    Args:
        inputs: Arguments of the command.
        classifiers: What ``poa linear --save`` wrote for these networks; ``None`` for k-NN, whose gallery is
            not corrupted.
        trained: Whether the files are checkpoints of whole classifiers.

    Returns:
        The content of a result file, of plain Python types.

    Raises:
        UserError: If a file or the data are missing, a setting makes no sense, or the classifiers are of other
            networks or classes.
    """
    if trained and (classifiers or inputs.untrained):
        raise UserError('--trained takes neither --classifiers nor --untrained')
    if trained:
        comparison = open_classifiers(inputs, 'robustness', ROBUSTNESS_DEFAULTS)
    else:
        comparison = open_comparison(inputs, 'robustness', ROBUSTNESS_DEFAULTS, learns=classifiers is None)
    settings = comparison.settings
    variants = _complete(settings)
    corrupted = partial(
        comparison.reader, kind=CorruptedReader, variants=variants, patches=settings['patches'], seed=comparison.seed
    )
    if trained:
        judge = 'trained classifiers'
        networks = {candidate.key: candidate.network for candidate in comparison.candidates}
        accuracy, unreadable = _by_logits(comparison, corrupted, networks)
    elif classifiers:
        judge = f'linear classifiers of {classifiers}'
        accuracy, unreadable = _by_logits(comparison, corrupted, with_classifiers(comparison, classifiers))
    else:
        judge = f'k-NN, k = {settings["k"]}'
        accuracy, unreadable = _by_neighbours(comparison, corrupted)
    results = []
    for candidate in comparison.candidates:
        curves: dict[str, dict[str, float]] = {kind: {} for kind in CORRUPTIONS}
        for kind, level in variants:
            curves[kind][_level_name(level)] = round(accuracy[candidate.key, (kind, level)], 4)
        results.append({**candidate.record(), **curves})
    half = min(settings['ratios'], key=lambda ratio: abs(ratio - 0.5))
    kept = listed((f'{r["name"]} {r["occlusion"][f"{half:g}"]:.2f} %' for r in results), 4)
    found = f', {judge}: with {half:.0%} of the patches hidden {kept}'
    settings['classifiers'] = 'trained' if trained else classifiers and str(classifiers)
    return comparison.record('robustness', results, unreadable, 'robustness', found, **settings)


def _complete(settings: dict[str, Any]) -> list[Variant]:
    """Fill in the settings that follow from the crop; all corruptions."""
    crop = settings['crop']
    even = divisors(crop)
    settings['patches'] = even[-1] if settings['patches'] is None else settings['patches']
    grids = sorted(set(map(read_grid, settings['grids'] or even)), key=lambda grid: (grid[0] * grid[1], grid))
    settings['grids'] = [rows if rows == columns else _level_name((rows, columns)) for rows, columns in grids]
    settings['ratios'] = sorted(set(settings['ratios']))
    for name, values in (('patches', [settings['patches']]), ('grids', [side for grid in grids for side in grid])):
        odd = [value for value in values if value < 1 or crop % value]
        if odd:
            raise UserError(f'{name} must cut {crop} px evenly: {divisors(crop, crop)} do, {odd[0]} does not')
    if not settings['ratios'] or not all(0 <= ratio <= 1 for ratio in settings['ratios']):
        raise UserError(f'ratios must be from 0 to 1, got {settings["ratios"]}')
    shuffled = [('shuffling', grid) for grid in grids]
    return [*(('occlusion', ratio) for ratio in settings['ratios']), *shuffled]


def read_grid(grid: int | str) -> Grid:
    """Rows and columns of ``4`` (4 x 4 tiles) or ``'2x4'``.

    Raises:
        UserError: If it is something else.
    """
    match = re.fullmatch(r'(\d+)(?:x(\d+))?', str(grid))
    if match is None:
        raise UserError(f'a grid of tiles is a number along a side or rows and columns (4 or 2x4), got {grid!r}')
    return int(match[1]), int(match[2] or match[1])


def _level_name(level: float | Grid) -> str:
    if isinstance(level, tuple):
        return str(level[0]) if level[0] == level[1] else f'{level[0]}x{level[1]}'
    return f'{level:g}'


def _by_neighbours(comparison: Comparison, corrupted: partial) -> tuple[dict, dict]:
    k, temperature = comparison.settings['k'], comparison.settings['temperature']
    check_ks([k], len(comparison.train), temperature)
    judge, gallery = corrupted(), comparison.reader()
    gallery.unreadable = judge.unreadable  # one list, and one count of it
    queries, labels, _ = judge.collect(comparison.val, 'val')
    searches = {name: NeighbourSearch(queries.pop(name), k, name[0]) for name in judge.networks}
    of_network = {key: [searches[name] for name in searches if name[0] == key] for key in gallery.networks}
    train_labels = search_gallery(gallery, comparison.train, of_network)
    accuracy = {
        name: neighbour_accuracy(search.result(), train_labels, labels, [k], temperature)[k]
        for name, search in searches.items()
    }
    return accuracy, judge.all_unreadable()


def with_classifiers(comparison: Comparison, path: str | Path, same_classes: bool = True) -> dict[str, Network]:
    """Every network of a comparison with its linear classifier: from images to logits (N, classes).

    Args:
        comparison: Of elastic or extracted networks.
        path: What ``poa linear --save`` wrote for these networks.
        same_classes: Whether the images that it was trained on must have the classes of the validation images.

    Raises:
        UserError: If the file is of an unfinished run, lacks one of the networks, or was trained on other weights of
            it, or on other classes.
    """
    content = read_saved(path)
    saved = content.get('best')
    if saved is None:
        raise UserError(f'{path} is of a run of poa linear that is not finished')
    check_weights(content, path, comparison)
    if same_classes:
        check_same_classes(content['origin']['classes'], class_names(comparison.val), f'{path} and the data')
    networks = {}
    for candidate in comparison.candidates:
        if candidate.key not in saved:
            raise UserError(f'{path} holds no classifier of {candidate.key}, but of {", ".join(saved)}')
        read = partial(_logits, saved[candidate.key])
        networks[candidate.key] = SubnetFeatures(candidate.backbone, candidate.subnet, read)
    return networks


def _by_logits(comparison: Comparison, corrupted: partial, networks: Mapping[str, Network]) -> tuple[dict, dict]:
    judge = corrupted(networks, normalize=False)
    right = {name: torch.zeros(1, dtype=torch.int64, device=judge.device) for name in judge.networks}
    count = torch.zeros(1, dtype=torch.int64, device=judge.device)
    for logits, labels, _ in judge.batches(comparison.val, 'val'):
        check_features(logits)
        for name, rows in logits.items():
            right[name] += (rows.argmax(1) == labels).sum()
        count += len(labels)
    for tensor in (count, *right.values()):
        all_reduce(tensor, 'sum')
    if not count:
        raise UserError(f'none of the {len(comparison.val)} images of the validation set could be read')
    return {name: 100 * int(n) / int(count) for name, n in right.items()}, judge.all_unreadable()


def _logits(classifier: Mapping[str, Any], backbone: ElasticBackbone, images: Tensor, subnet: Subnet) -> Tensor:
    features = probe_features(backbone, images, subnet)[:, slice(*classifier['columns'])]
    with torch.autocast(images.device.type, enabled=False):  # as it was trained
        return features.float() @ classifier['weight'].to(images.device).T + classifier['bias'].to(images.device)

"""The Backgrounds Challenge: how much a network relies on the background of an object (Xiao et al., 2020).

The data are the published folders of ImageNet-9: ``SET/val/CLASS/*.JPEG`` for each of :data:`SETS`, and
``fg_mask/val/CLASS/NAME.npy``, the mask of the foreground of ``original/val/CLASS/NAME.JPEG``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from poa_mm.datasets.reading import open_class_folders
from poa_mm.errors import UserError, listed

from .classifiers import open_classifiers
from .comparison import Comparison, EvalOptions, open_comparison, open_images
from .features import FeatureReader
from .images import EvalImages
from .knn import TEMPERATURE, check_ks, pack, unpack, vote
from .linear import check_features
from .robustness import with_classifiers

SETS = ('original', 'mixed_same', 'mixed_rand', 'mixed_next', 'no_fg', 'only_bg_b', 'only_bg_t', 'only_fg')
BACKGROUNDS, MASKS = 'only_bg_t', 'fg_mask'  # of the adversarial challenge
BACKGROUNDS_DEFAULTS = dict(k=20, temperature=TEMPERATURE, backgrounds=None)

# The classes of ImageNet-1K in each of the nine, by number in the order of the WordNet ids, both ends included.
# All others, among them two dogs, belong to none.
MEMBERS = {
    'dog': '151-170 173-268',
    'bird': '7-24 87-100 127-146',
    'wheeled vehicle': '407 408 428 436 444 468 511 547 555 561 565 569 573 586 603 609 612 627 656 661 665 670 671 '
    '675 690 705 717 734 751 757 791 802 803 817 820 829 847 864 866 867 870 880',
    'reptile': '33-68',
    'carnivore': '269-280 286-299 356-362 387 388',
    'insect': '300-326',
    'musical instrument': '401 402 420 432 486 494 513 541 546 558 566 577 579 593 594 641 642 683 684 687 699 '
    '776 822 875 881 889',
    'primate': '365-384',
    'fish': '0-6 389-397',
}
Judge = Callable[[Tensor], Tensor]  # features or logits (N, D) -> classes (N,) of the data it has learned from


def run_backgrounds(
    inputs: EvalOptions, data: str | Path, classifiers: str | Path | None = None, trained: bool = False
) -> dict[str, Any]:
    """Accuracy of every network on the sets of ImageNet-9, the background gap, and the adversarial challenge.

    The *gap* is the accuracy on ``mixed_same`` less that on ``mixed_rand``. In the *challenge*, a foreground counts as
    right if its class is found on each of the backgrounds of ``only_bg_t``.

    The judge is k-NN on the training images, or classifiers. It knows either the nine classes or those of
    ImageNet-1K, each of which belongs to one of the nine or to none. Images of the sets are resized to the crop.

    Settings are those of the data, ``k`` and ``temperature`` of k-NN, and ``backgrounds``: how many there are in the
    challenge, evenly spaced (default: all; 0 leaves it out).

    Args:
        inputs: Arguments of the command; of the data, the option ``train`` is read.
        data: Folder of the sets. Those that it does not hold are left out; ``original`` must be there.
        classifiers: What ``poa linear --save`` wrote for these networks; ``None`` for k-NN.
        trained: Whether the files are checkpoints of whole classifiers.

    Returns:
        The content of a result file, of plain Python types.

    Raises:
        UserError: If a file or the data are missing or do not belong together, or a setting makes no sense.
    """
    comparison, judge_name, judges = _open(inputs, Path(data), classifiers, trained)
    settings = comparison.settings
    if (settings['backgrounds'] or 0) < 0:
        raise UserError(f'backgrounds must be at least 0, got {settings["backgrounds"]}')
    images = open_sets(Path(data), settings['crop'])
    comparison.val = images['original']
    reader = comparison.reader(normalize=comparison.train is not None)  # k-NN compares directions
    right = {name: _count_right(reader, judges, of_set, name) for name, of_set in images.items()}
    challenge = {}
    if settings['backgrounds'] != 0:
        challenge = _run_challenge(Path(data), images, reader, judges, settings['backgrounds'])
    results = []
    for candidate in comparison.candidates:
        accuracy = {name: round(found[candidate.key], 4) for name, found in right.items()}
        entry = dict(candidate.record(), accuracy=accuracy, best=accuracy['original'])
        if {'mixed_same', 'mixed_rand'} <= accuracy.keys():
            entry['bg_gap'] = round(accuracy['mixed_same'] - accuracy['mixed_rand'], 4)
        if challenge:
            entry['challenge'] = round(challenge[candidate.key], 4)
        results.append(entry)
    settings.update(
        data=str(data), sets=list(images), classifiers='trained' if trained else classifiers and str(classifiers)
    )
    unreadable = {('val' if name == 'original' else name, i): r for (name, i), r in reader.all_unreadable().items()}
    found = listed((f'{r["name"]} {r["best"]:.2f} %' for r in results), 4)
    record = comparison.record('backgrounds', results, unreadable, 'ImageNet-9', f', {judge_name}: {found}', **settings)
    return {**record, 'classes': len(MEMBERS)}


def _open(
    inputs: EvalOptions, data: Path, classifiers: str | Path | None, trained: bool
) -> tuple[Comparison, str, dict[str, Judge]]:
    """Networks and the classifiers of their features."""
    if trained and (classifiers or inputs.untrained):
        raise UserError('--trained takes neither --classifiers nor --untrained')
    options = {**inputs.options, 'val': str(data / 'original' / 'val')}
    gallery = options.pop('train', None)
    inputs = replace(inputs, options=options)
    if trained:
        comparison = open_classifiers(inputs, 'backgrounds', BACKGROUNDS_DEFAULTS)
        return comparison, 'trained classifiers', {c.key: _by_logits for c in comparison.candidates}
    comparison = open_comparison(inputs, 'backgrounds', BACKGROUNDS_DEFAULTS, learns=False)
    settings = comparison.settings
    if classifiers:
        networks = with_classifiers(comparison, classifiers, same_classes=False)
        comparison.candidates = [replace(c, network=networks[c.key]) for c in comparison.candidates]
        return comparison, f'linear classifiers of {classifiers}', {c.key: _by_logits for c in comparison.candidates}
    if gallery is None:
        raise UserError('k-NN needs --train: images of ImageNet-1K, or of the nine classes')
    comparison.train = open_images(open_class_folders(gallery), settings)
    check_ks([settings['k']], len(comparison.train), settings['temperature'])
    judges = _neighbour_judges(comparison)
    return comparison, f'k-NN, k = {settings["k"]}', judges


def _by_logits(logits: Tensor) -> Tensor:
    return to_nine(logits.argmax(1), logits.shape[1])


def _neighbour_judges(comparison: Comparison) -> dict[str, Judge]:
    """Judges that hold the features of all training images."""
    reader, settings = comparison.reader(), comparison.settings
    features, labels, _ = reader.collect(comparison.train, 'train')
    reader.all_unreadable()
    classes = comparison.classes
    number = torch.arange(len(labels), device=labels.device)

    def judge(gallery: Tensor, rows: Tensor) -> Tensor:
        similarity, index = unpack(pack(rows @ gallery.T, number).topk(settings['k']).values)
        (found,) = vote(similarity, labels[index], [settings['k']], settings['temperature']).values()
        return to_nine(found.to(rows.device), classes)

    check_features(features)
    to_nine(labels[:0], classes)
    return {key: partial(judge, gallery) for key, gallery in features.items()}


def open_sets(data: Path, crop: int) -> dict[str, EvalImages]:
    """The sets that a folder holds.

    Raises:
        UserError: If ``original`` is missing, or a set does not have nine class folders.
    """
    found = {}
    for name in SETS:
        folder = data / name / 'val'
        if name != 'original' and not folder.is_dir():
            continue
        dataset = open_class_folders(folder)
        if len(dataset.metainfo['classes']) != len(MEMBERS):
            count = len(dataset.metainfo['classes'])
            raise UserError(f'{folder} has {count} class folders; ImageNet-9 has {len(MEMBERS)}: 00_dog to 08_fish')
        found[name] = EvalImages(dataset, crop, crop)
    return found


def to_nine(classes: Tensor, number: int) -> Tensor:
    """Which of the nine classes each class belongs to, -1 for none.

    Args:
        classes: (N,), of a judge.
        number: How many classes the judge knows: nine, or those of ImageNet-1K.

    Raises:
        UserError: If it is another number.
    """
    if number == len(MEMBERS):
        return classes
    if number != 1000:
        raise UserError(f'classes must be the {len(MEMBERS)} of ImageNet-9 or the 1000 of ImageNet-1K, got {number}')
    table = torch.full((1000,), -1)
    for i, members in enumerate(MEMBERS.values()):
        for span in members.split():
            first, _, last = span.partition('-')
            table[int(first) : int(last or first) + 1] = i
    return table.to(classes.device)[classes]


def _count_right(reader: FeatureReader, judges: dict[str, Judge], images: EvalImages, name: str) -> dict[str, float]:
    """Accuracy in per cent of every network on a set, over all processes."""
    counts = {key: torch.zeros(2, dtype=torch.int64, device=reader.device) for key in judges}
    for rows, labels, _ in reader.batches(images, name):
        check_features(rows)
        for key, judge in judges.items():
            right = judge(rows[key]) == labels
            counts[key] += torch.stack([right.sum(), labels.new_tensor(len(labels))])
    return {key: _share(count, f'images of {name}') for key, count in counts.items()}


def _share(count: Tensor, what: str) -> float:
    """Per cent of (right, all) over all processes."""
    all_reduce(count, 'sum')
    right, total = count.tolist()
    if not total:
        raise UserError(f'none of the {what} could be read')
    return 100 * right / total


def _run_challenge(
    data: Path, images: dict[str, EvalImages], reader: FeatureReader, judges: dict[str, Judge], number: int | None
) -> dict[str, float]:
    """Per cent of the foregrounds that a network finds on every background."""
    if BACKGROUNDS not in images:
        raise UserError(f'the challenge needs the set {BACKGROUNDS} in {data}; --backgrounds 0 leaves it out')
    of_set = images[BACKGROUNDS]
    chosen = np.linspace(0, len(of_set) - 1, min(number or len(of_set), len(of_set))).round().astype(int)
    opened = reader.readable([of_set[int(i)] for i in chosen], BACKGROUNDS)
    if opened is None:
        raise UserError(f'none of the backgrounds of {BACKGROUNDS} could be read')
    masks = find_masks(data, images['original'])

    def predict(key: str, pixels: Tensor) -> Tensor:
        return judges[key](reader.output(reader.networks[key], reader.normalized(pixels)))

    found = {}
    for key in judges:
        mine = _foregrounds(masks[get_rank() :: get_world_size()], images['original'], reader)
        found[key] = _share(count_robust(partial(predict, key), mine, opened[0], reader.batch_size), 'foregrounds')
    return found


def find_masks(data: Path, original: EvalImages) -> list[tuple[Path, int]]:
    """The mask of every foreground, and the number of its image.

    Raises:
        UserError: If masks are missing, or one lacks its image.
    """
    paths = [Path(original.dataset.get_data_info(i)['img_path']) for i in range(len(original))]
    number = {(path.parent.name, path.stem): i for i, path in enumerate(paths)}
    found = []
    for mask in sorted((data / MASKS / 'val').glob('*/*.npy')):
        if (mask.parent.name, mask.stem) not in number:
            raise UserError(f'{mask} has no image in {data / "original" / "val" / mask.parent.name}')
        found.append((mask, number[mask.parent.name, mask.stem]))
    if not found:
        raise UserError(f'the challenge needs masks, {data / MASKS}/val/*/*.npy; --backgrounds 0 leaves it out')
    return found


def _foregrounds(
    masks: list[tuple[Path, int]], original: EvalImages, reader: FeatureReader
) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Pixels (3, S, S), mask (S, S) and class of each foreground on the reader's device."""
    for path, i in masks:
        opened = reader.readable([original[i]], 'original')
        if opened is not None:
            yield opened[0][0], read_mask(path, original.crop).to(reader.device), original.label(i)


def read_mask(path: Path, crop: int) -> Tensor:
    """A mask (S, S) of the foreground, resized and cut as its image.

    Raises:
        UserError: If the file is not an array of two dimensions.
    """
    try:
        mask = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f'{path} is not a NumPy array: {error}') from error
    if mask.ndim != 2:
        raise UserError(f'{path} must be a mask (height, width), got the shape {mask.shape}')
    mask = torch.from_numpy((mask > 0).astype(np.uint8))[None]
    mask = TF.resize(mask, [crop], TF.InterpolationMode.NEAREST_EXACT)
    return TF.center_crop(mask, [crop])[0].bool()


@torch.no_grad()
def count_robust(
    predict: Callable[[Tensor], Tensor],
    foregrounds: Iterator[tuple[Tensor, Tensor, int]],
    backgrounds: Tensor,
    batch_size: int,
) -> Tensor:
    """How many foregrounds are recognised on all backgrounds, and how many foregrounds there are, (2,).

    Backgrounds that fooled the network before are tried first, so that most foregrounds need few of them.

    Args:
        predict: From pixels (N, 3, S, S) uint8 to classes (N,).
        foregrounds: Pixels (3, S, S), mask (S, S) and class of each.
        backgrounds: (M, 3, S, S) uint8.
        batch_size: Backgrounds at a time.
    """
    fooled = torch.zeros(len(backgrounds), dtype=torch.int64, device=backgrounds.device)
    robust = total = 0
    for pixels, mask, label in foregrounds:
        total += 1
        for part in fooled.argsort(descending=True, stable=True).split(batch_size):
            wrong = predict(torch.where(mask, pixels, backgrounds[part])) != label
            fooled[part] += wrong
            if wrong.any():
                break
        else:
            robust += 1
    return torch.tensor([robust, total], device=backgrounds.device)

"""Tiny data sets in the layouts in which they are published. All images are red."""

import json
import pickle
from pathlib import Path

import cv2
import mat4py
import numpy as np
from mmpretrain.datasets import CIFAR10, CIFAR100

LOWEST, HIGHEST = (0, 0, 150), (60, 60, 255)  # BGR
PER_SPLIT = 8


def write_published(folder: Path) -> None:
    """Write all of them into folders named as in the recipes."""
    rng = np.random.default_rng(0)
    images = [rng.integers(LOWEST, HIGHEST, (40, 44, 3)).astype(np.uint8) for _ in range(PER_SPLIT)]
    jpegs = [cv2.imencode('.jpg', image)[1].tobytes() for image in images]
    _imagenet(folder / 'imagenet', jpegs[0])
    _cifar(folder / 'cifar10', CIFAR10, images)
    _cifar(folder / 'cifar100', CIFAR100, images)
    _flowers(folder / 'Flowers102', jpegs)
    _cars(folder / 'Stanford_Cars', jpegs)
    for year in (18, 19):
        _inaturalist(folder / f'inaturalist{year}', year, jpegs)


def without_checksums(patch) -> None:
    """Let mmpretrain read CIFAR files that are not the published ones."""
    for cls in (CIFAR10, CIFAR100):
        for files in ('train_list', 'test_list'):
            patch.setattr(cls, files, [[name, None] for name, _ in getattr(cls, files)])


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _imagenet(root: Path, jpeg: bytes) -> None:
    """One image for each of 1000 classes."""
    _write(root / 'image.jpg', jpeg)
    for split in ('train', 'val'):
        for label in range(1000):
            place = root / split / f'n{label:08d}'
            place.mkdir(parents=True)
            (place / f'n{label:08d}_0.JPEG').hardlink_to(root / 'image.jpg')
    (root / 'image.jpg').unlink()


def _cifar(root: Path, cls: type, images: list[np.ndarray]) -> None:
    """Pickled batches: rows of 3 x 32 x 32 pixels, red first."""
    pixels = np.stack([image[:32, :32, ::-1].transpose(2, 0, 1).ravel() for image in images])
    label = 'labels' if cls is CIFAR10 else 'fine_labels'
    for name, _ in cls.train_list + cls.test_list:
        _write(root / cls.base_folder / name, pickle.dumps({'data': pixels, label: list(range(len(images)))}))


def _flowers(root: Path, jpegs: list[bytes]) -> None:
    splits = ('trnid', 'valid', 'tstid')
    for number, jpeg in enumerate(jpegs * len(splits), start=1):
        _write(root / 'jpg' / f'image_{number:05d}.jpg', jpeg)
    mat4py.savemat(str(root / 'imagelabels.mat'), {'labels': [1 + i % 102 for i in range(len(splits) * PER_SPLIT)]})
    ids = {split: [1 + k * PER_SPLIT + i for i in range(PER_SPLIT)] for k, split in enumerate(splits)}
    mat4py.savemat(str(root / 'setid.mat'), ids)


def _cars(root: Path, jpegs: list[bytes]) -> None:
    (root / 'devkit').mkdir(parents=True)
    for split, annotations in (('train', 'cars_train_annos'), ('test', 'cars_test_annos_withlabels')):
        names = [f'{i:05d}.jpg' for i in range(1, len(jpegs) + 1)]
        for name, jpeg in zip(names, jpegs):
            _write(root / f'cars_{split}' / name, jpeg)
        content = {'annotations': {'fname': names, 'class': list(range(1, len(names) + 1))}}
        mat4py.savemat(str(root / 'devkit' / f'{annotations}.mat'), content)


def _inaturalist(root: Path, year: int, jpegs: list[bytes]) -> None:
    for split in ('train', 'val'):
        names = [f'train_val20{year}/Plantae/{i}/{split}{i}.jpg' for i in range(len(jpegs))]
        for name, jpeg in zip(names, jpegs):
            _write(root / name, jpeg)
        content = dict(
            categories=[dict(id=i, name=f'plant {i}') for i in range(len(names))],
            images=[dict(id=i, file_name=name) for i, name in enumerate(names)],
            annotations=[dict(image_id=i, category_id=i) for i in range(len(names))],
        )
        (root / f'{split}20{year}.json').write_text(json.dumps(content))

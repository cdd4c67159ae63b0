"""The folder in which the commands run: generated images, recipes with narrow networks."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
# Classes, and images of each, for training and for validation.
CLASSES, TRAIN, VAL = 5, 4, 2
# Blocks of the narrow networks, and steps between them, by those of the recipes.
DEPTHS = {'12': '4', '24': '8', '40': '8', '6': '2', '18': '4', '2': '2', '3': '4', '4': '4'}
# Folders of class folders named by the pages, with images for training, for validation and for both.
TRAIN_FOLDERS = 'data/imagenette5_128/train data/my_train photos/train'
VAL_FOLDERS = 'data/imagenette5_128/val data/my_val photos/val'
ALL_FOLDERS = 'data/my_images photos/all photographs my_photographs'
# The Backgrounds Challenge needs classifiers of nine classes.
IMAGENET = dict(classes=9, train=3, val=1)


def build(folder: Path) -> None:
    """Fill the folder with configs, data, and what else the commands read."""
    for path in (ROOT / 'configs').rglob('*.py'):
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(narrow(path.read_text(), path.stem))
    for name in ('examples', 'studies', 'docs/results'):
        shutil.copytree(ROOT / name, folder / name)
    rng = np.random.default_rng(0)
    sets = [(TRAIN_FOLDERS, CLASSES, TRAIN), (VAL_FOLDERS, CLASSES, VAL), (ALL_FOLDERS, CLASSES, TRAIN)]
    sets += [
        (f'imagenet/{split} data/imagenet/{split}', IMAGENET['classes'], IMAGENET[split]) for split in ('train', 'val')
    ]
    for names, classes, number in sets:
        first, *others = names.split()
        for label in range(classes):
            (folder / first / f'n{label}').mkdir(parents=True)
            for i in range(number):
                photograph(rng, label, 96).save(folder / first / f'n{label}/{i}.jpg')
        for other in others:
            (folder / other).parent.mkdir(parents=True, exist_ok=True)
            (folder / other).symlink_to(folder / first)
    (folder / 'data/classes').symlink_to(folder / 'photos')
    build_coco(folder / 'data/coco', rng)
    (folder / 'data/coco_mini').symlink_to(folder / 'data/coco')
    build_ade(folder / 'data/ADEChallengeData2016', rng)
    (folder / 'data/ade_mini').symlink_to(folder / 'data/ADEChallengeData2016')
    build_backgrounds(folder / 'bg_challenge', rng)
    (folder / 'data/bg_challenge').symlink_to(folder / 'bg_challenge')


def narrow(text: str, name: str) -> str:
    """A recipe for ImageNet with an eighth or a quarter of its widths, a third of its blocks, and small heads."""
    if 'small' in name or name == 'poa_demo':
        return text
    factor = 4 if 'swin' in name or 'resnet' in name else 8
    for key in ('widths', 'head_dim', 'num_groups', 'stem_channels'):
        text = re.sub(rf'\b{key}=[\[(\d][\d, ]*', lambda found: divided(found[0], factor), text)
    text = text.replace('((3, 3), (4, 8), (6, 36), (3, 3))', '((1, 1), (1, 2), (1, 3), (1, 1))')
    text = re.sub(r'\bdepths=[\[(]\d[\d, ]*', lambda found: re.sub(r'\d+', lambda n: DEPTHS[n[0]], found[0]), text)
    text = re.sub(r'\b(8192|16384|32768|65536)\b', lambda found: str(int(found[0]) // 512), text)
    return text.replace('hidden_dims=2048', 'hidden_dims=32').replace('in_channels=2048', 'in_channels=32')


def divided(text: str, factor: int) -> str:
    """The same with all numbers divided."""
    return re.sub(r'\d+', lambda number: str(int(number[0]) // factor), text)


def rename_sizes() -> None:
    """Let the names of the paper mean the narrow networks."""
    from poa_mm.models.backbones.resnet import ElasticResNet
    from poa_mm.models.backbones.swin import ElasticSwinTransformer
    from poa_mm.models.backbones.vit import ElasticVisionTransformer

    ElasticVisionTransformer.names = {'S': (48, 4), 'B': (96, 4), 'L': (128, 8)}
    ElasticSwinTransformer.names = {'T': (24, 2), 'S': (24, 4), 'B': (32, 4)}
    ElasticResNet.names = {'R50': (16, (1, 1, 1, 1)), 'R101': (16, (1, 1, 3, 1)), 'R152': (16, (1, 2, 3, 1))}


def photograph(rng: np.random.Generator, label: int, side: int) -> Image.Image:
    """Noise in the colour of a class."""
    colour = np.array([(220, 60, 40), (40, 200, 60), (50, 80, 220), (200, 200, 40), (128, 128, 128)][label % CLASSES])
    return Image.fromarray(np.clip(colour + rng.normal(0, 40, (side, side, 3)), 0, 255).astype(np.uint8))


def build_coco(root: Path, rng: np.random.Generator) -> None:
    """COCO's layout with all its categories, four images for training and two for validation."""
    from mmdet.datasets import CocoDataset

    categories = [dict(id=i + 1, name=name) for i, name in enumerate(CocoDataset.METAINFO['classes'])]
    (root / 'annotations').mkdir(parents=True)
    for split, number in (('train2017', 4), ('val2017', 2)):
        (root / split).mkdir()
        images, annotations = [], []
        for i in range(number):
            photograph(rng, i, 96).save(root / split / f'{i}.jpg')
            images.append(dict(id=i + 1, file_name=f'{i}.jpg', width=96, height=96))
            for x, y, width, height in ((5, 8, 60, 50), (40, 40, 50, 50)):
                outline = [x, y, x + width, y, x + width, y + height, x, y + height]
                box = dict(bbox=[x, y, width, height], area=width * height, segmentation=[outline], iscrowd=0)
                annotations.append(dict(id=len(annotations) + 1, image_id=i + 1, category_id=i + 1, **box))
        contents = dict(images=images, annotations=annotations, categories=categories)
        (root / f'annotations/instances_{split}.json').write_text(json.dumps(contents))


def build_ade(root: Path, rng: np.random.Generator) -> None:
    """ADE20K's layout: the left half is a wall, the right half sky."""
    labels = np.full((96, 96), 1, np.uint8)
    labels[:, 48:] = 3
    for split, number in (('training', 8), ('validation', 2)):
        for kind in ('images', 'annotations'):
            (root / kind / split).mkdir(parents=True)
        for i in range(number):
            photograph(rng, i, 96).save(root / f'images/{split}/{i}.jpg')
            Image.fromarray(labels).save(root / f'annotations/{split}/{i}.png')


def build_backgrounds(root: Path, rng: np.random.Generator) -> None:
    """ImageNet-9's layout with one image for each class and set."""
    from poa_mm.evaluation.backgrounds import MEMBERS, SETS

    for label, name in enumerate(MEMBERS):
        place = f'val/{label:02}_{name.split()[-1]}'
        for kind in SETS:
            (root / kind / place).mkdir(parents=True)
            photograph(rng, label, 96).save(root / kind / place / f'n{label:08}_0.JPEG')
        (root / 'fg_mask' / place).mkdir(parents=True)
        mask = np.zeros((96, 96), bool)
        mask[20:70, 20:70] = True
        np.save(root / 'fg_mask' / place / f'n{label:08}_0.npy', mask)

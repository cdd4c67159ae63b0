"""Images per CPU second of the multi-crop pipeline, against PIL and torchvision, on a folder of images."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmengine.utils import track_iter_progress
from PIL import Image
from torchvision import transforms as T

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from poa_mm.datasets import image_ops, multi_crop, views

VIEWS = dict(
    global_1=dict(size=224, scale=(0.32, 1.0), blur=0.0),
    global_2=dict(size=224, scale=(0.32, 1.0), blur=0.9, solarize=0.2),
    local=dict(size=96, scale=(0.05, 0.32), blur=0.5, number=8),
)
STAGES = {
    'decode': (views.ViewsDataset, ['load']),
    'crops': (image_ops, ['resized_crop']),
    'colour': (multi_crop, ['color_jitter']),
    'grey, solarise': (image_ops, ['grayscale', 'solarize']),
    'blur': (image_ops, ['gaussian_blur']),
    'packing': (views, ['_pack']),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path, help='folder of images, with or without sub-folders')
    parser.add_argument('--images', type=int, default=28, help='images per round')
    parser.add_argument('--rounds', type=int, default=5, help='rounds; the pipelines take turns')
    return parser.parse_args()


def torchvision_views(view: multi_crop.View) -> T.Compose:
    """The same view, made of torchvision's transforms of PIL images."""
    jitter = T.ColorJitter(view.brightness, view.contrast, view.saturation, view.hue)
    blur = T.GaussianBlur(view.blur_kernel, view.blur_sigma)
    return T.Compose(
        [
            T.RandomResizedCrop(view.size, view.scale, view.ratio, T.InterpolationMode.BICUBIC),
            T.RandomHorizontalFlip(view.flip),
            T.RandomApply([jitter], view.jitter),
            T.RandomGrayscale(view.grayscale),
            T.RandomApply([blur], view.blur),
            T.RandomSolarize(view.solarize_threshold, view.solarize),
            T.ToTensor(),
            T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )


def watch(owner: object, name: str, stage: str, seconds: Counter) -> None:
    """Replace a function by one that adds its time to ``seconds[stage]``."""
    function = getattr(owner, name)

    def timed(*args, **kwargs):
        start = time.process_time()
        result = function(*args, **kwargs)
        seconds[stage] += time.process_time() - start
        return result

    setattr(owner, name, timed)


def seconds_per_image(make_views: Callable, indices: range) -> float:
    start = time.process_time()
    for index in indices:
        make_views(index)
    return (time.process_time() - start) / len(indices)


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    images = dict(type='mmpretrain.CustomDataset', data_root=str(args.folder), with_label=False)
    images['pipeline'] = [dict(type='LoadImageFromFile')]
    with DefaultScope.overwrite_default_scope('poa_mm'):
        dataset = views.ViewsDataset(images, VIEWS)
    files = [dataset.dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    reference = [(torchvision_views(view), view.number) for view in dataset.views.values()]

    def ours(position: int) -> None:
        dataset[position % len(dataset), position]

    def theirs(position: int) -> None:
        image = Image.open(files[position % len(files)]).convert('RGB')
        for transform, number in reference:
            for _ in range(number):
                transform(image)

    ours(0), theirs(0)  # warm-up
    times = []
    for number in track_iter_progress(range(args.rounds)):
        indices = range(number * args.images, (number + 1) * args.images)
        times.append([seconds_per_image(ours, indices), seconds_per_image(theirs, indices)])
    times = np.array(times)
    ratio = times[:, 1] / times[:, 0]
    for name, column in zip(('poa_mm', 'PIL + torchvision'), times.T):
        print(f'\n{name}: {1 / np.median(column):.1f} images/s per core')
    print(f'\nratio {np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})')

    seconds = Counter()
    for stage, (owner, names) in STAGES.items():
        for name in names:
            watch(owner, name, stage, seconds)
    total = seconds_per_image(ours, range(args.images)) * args.images
    seconds['other'] = total - sum(seconds.values())
    for stage, value in seconds.items():
        print(f'{stage:15s} {1e3 * value / args.images:6.2f} ms {value / total:6.1%}')


if __name__ == '__main__':
    main()

"""Images per CPU second of the multi-crop pipeline, against PIL and torchvision, on a folder of images."""

from __future__ import annotations

import argparse
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.command import run
from poa_mm.arguments import positive

if TYPE_CHECKING:
    from torchvision.transforms import Compose

    from poa_mm.datasets.multi_crop import View

RECIPE = Path(__file__).resolve().parents[1] / 'configs/_base_/multi_crop_224.py'


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m benchmarks.data', description=__doc__)
    parser.add_argument('folder', help='folder of images, with or without sub-folders')
    parser.add_argument('--images', type=positive, default=28, help='images per round (28)')
    parser.add_argument('--rounds', type=positive, default=5, help='rounds; the pipelines take turns (5)')
    return parser.parse_args(arguments)


def measure(args: argparse.Namespace) -> None:
    """Runs the comparison in one thread and prints it."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    print(describe(benchmark_data(args.folder, args.images, args.rounds)))


def benchmark_data(folder: str | Path, images: int = 28, rounds: int = 5) -> dict:
    """CPU time of the views of a recipe, and the parts that it is spent on. Call it with one thread.

    Args:
        folder: Images, with or without sub-folders.
        images: Images of a round; each has all its views made once.
        rounds: Rounds; both pipelines take turns.

    Returns:
        ``seconds_per_image`` of both pipelines and ``ratio`` (theirs / ours), each as :func:`spread` returns it, and
        ``stages``: seconds an image of each part of ours, in a further round.

    Raises:
        UserError: The folder does not exist or has no images, or an image cannot be read.
    """
    from time import process_time

    from mmengine.registry import DefaultScope
    from PIL import Image

    from benchmarks.timing import spread, time_in_turn, time_parts
    from poa_mm.config import load_config
    from poa_mm.datasets import ViewsDataset, image_ops, multi_crop, views

    cfg = load_config(str(RECIPE), {'data_root': str(folder)}, None, 'none').train_dataloader.dataset
    with DefaultScope.overwrite_default_scope('poa_mm'):
        dataset = ViewsDataset(cfg.dataset, cfg.views)
    files = [dataset.dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    reference = [(torchvision_view(view), view.number) for view in dataset.views.values()]

    def ours(position: int) -> None:
        dataset[position % len(dataset), position]

    def theirs(position: int) -> None:
        image = Image.open(files[position % len(files)]).convert('RGB')
        for transform, number in reference:
            for _ in range(number):
                transform(image)

    def next_images(make, positions) -> None:
        for _ in range(images):
            make(next(positions))

    ours(0), theirs(0)  # warm-up
    both = [partial(next_images, make, count()) for make in (ours, theirs)]
    first, second = time_in_turn(both, rounds, process_time)
    stages = [
        (dataset, 'load', 'decode'),
        (image_ops, 'resized_crop', 'crops'),
        (multi_crop, 'color_jitter', 'colour'),
        (image_ops, 'grayscale', 'grey, solarise'),
        (image_ops, 'solarize', 'grey, solarise'),
        (image_ops, 'gaussian_blur', 'blur'),
        (views, '_pack', 'packing'),
    ]
    split = time_parts(partial(next_images, ours, count()), stages)
    return dict(
        seconds_per_image={
            name: spread([value / images for value in times])
            for name, times in (('poa_mm', first), ('PIL + torchvision', second))
        },
        ratio=spread([b / a for a, b in zip(first, second)]),
        stages={name: value / images for name, value in split.items()},
    )


def torchvision_view(view: View) -> Compose:
    """The same view, made of torchvision's transforms of PIL images."""
    from torchvision import transforms as T

    jitter = T.ColorJitter(view.brightness, view.contrast, view.saturation, view.hue)
    return T.Compose(
        [
            T.RandomResizedCrop(view.size, view.scale, view.ratio, T.InterpolationMode.BICUBIC),
            T.RandomHorizontalFlip(view.flip),
            T.RandomApply([jitter], view.jitter),
            T.RandomGrayscale(view.grayscale),
            T.RandomApply([T.GaussianBlur(view.blur_kernel, view.blur_sigma)], view.blur),
            T.RandomSolarize(view.solarize_threshold, view.solarize),
            T.ToTensor(),
            T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )


def describe(result: dict) -> str:
    """The result of :func:`benchmark_data` as text."""
    total = sum(result['stages'].values())
    return '\n'.join(
        [
            *(f'{name}: {1 / s["median"]:.1f} images/s per core' for name, s in result['seconds_per_image'].items()),
            'ratio {median:.2f} ({min:.2f} to {max:.2f})'.format(**result['ratio']),
            *(f'{name:15s} {1e3 * value:6.2f} ms {value / total:6.1%}' for name, value in result['stages'].items()),
        ]
    )


if __name__ == '__main__':
    run(parse_args, measure)

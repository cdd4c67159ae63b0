"""How fast the multi-crop pipeline is, against the same views made by PIL and torchvision."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import count, islice
from pathlib import Path

import torch
from mmengine.registry import DefaultScope
from PIL import Image
from torchvision import transforms as T

from poa_mm.datasets import ViewsDataset, image_ops, multi_crop, views
from poa_mm.launch import load_config

from .report import time_in_turn
from .stopwatch import Stopwatch, spread

CPU = torch.device('cpu')


def benchmark_data(config: str | Path, folder: str | Path, images: int = 28, rounds: int = 5) -> dict:
    """CPU time of the views of a recipe, and of what it is spent on. Call it with one thread.

    Args:
        config: A pre-training config with a ``data_root``.
        folder: Images, with or without sub-folders.
        images: Images of a round; each has all its views made once.
        rounds: Rounds; both pipelines take turns.

    Returns:
        ``seconds_per_image`` of both pipelines and ``ratio`` (theirs / ours), each as :func:`spread` says it, and
        ``stages``: seconds an image of each part of ours, in a further round.

    Raises:
        UserError: There is no such config or folder.
        UserError: The folder has no images, or one that cannot be read.
    """
    cfg = load_config(str(config), {'data_root': str(folder)}, None, 'none').train_dataloader.dataset
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

    ours(0), theirs(0)  # warm-up
    both = [partial(_next_ones, make, count(), images) for make in (ours, theirs)]
    first, second = time_in_turn(both, rounds, CPU, time.process_time)
    watch = Stopwatch(CPU, time.process_time)
    stages = [
        (dataset, 'load', 'decode'),
        (image_ops, 'resized_crop', 'crops'),
        (multi_crop, 'color_jitter', 'colour'),
        (image_ops, 'grayscale', 'grey, solarise'),
        (image_ops, 'solarize', 'grey, solarise'),
        (image_ops, 'gaussian_blur', 'blur'),
        (views, '_pack', 'packing'),
    ]
    with watch.watching(stages):
        start = watch.mark()
        _next_ones(ours, count(), images)
        total = watch.mark() - start
    seconds = watch.totals()
    seconds['other'] = total - sum(seconds.values())
    return dict(
        seconds_per_image={
            name: spread([value / images for value in times])
            for name, times in (('poa_mm', first), ('PIL + torchvision', second))
        },
        ratio=spread([b / a for a, b in zip(first, second)]),
        stages={name: value / images for name, value in seconds.items()},
    )


def _next_ones(make: Callable[[int], None], positions: count, number: int) -> None:
    for position in islice(positions, number):
        make(position)


def torchvision_view(view: multi_crop.View) -> T.Compose:
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


def describe_data(result: dict) -> str:
    """The result of :func:`benchmark_data` for a reader."""
    lines = [
        f'{name}: {1 / seconds["median"]:.1f} images/s per core'
        for name, seconds in result['seconds_per_image'].items()
    ]
    lines.append('ratio {median:.2f} ({min:.2f} to {max:.2f})'.format(**result['ratio']))
    total = sum(result['stages'].values())
    lines += [f'{name:15s} {1e3 * value:6.2f} ms {value / total:6.1%}' for name, value in result['stages'].items()]
    return '\n'.join(lines)

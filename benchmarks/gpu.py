"""One of the paper's three networks on one GPU, with the largest batch that fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from poa_mm.reporting.tables import markdown_table

from .largest import largest_batch, no_memory, release_memory
from .report import benchmark
from .step import TrainingStep

CONFIGS = {'ViT-L/16': 'poa_vitl.py', 'Swin-B': 'poa_swinb.py', 'ResNet-152': 'poa_resnet152.py'}
ONE_GPU = {'optim_wrapper.accumulative_counts': 1, 'optim_wrapper.amp_dtype': 'bfloat16'}
SMALL_VIEWS = {
    'train_dataloader.dataset.views.global_1.size': 64,
    'train_dataloader.dataset.views.global_2.size': 64,
    'train_dataloader.dataset.views.local.size': 32,
    'train_dataloader.dataset.views.local.number': 2,
    'train_dataloader.collate_fn.grid': (4, 4),
    'model.head.num_prototypes': (32, 64),
    'model.head.hidden_dims': 32,
}
TINY = {
    'ViT-L/16': {'img_size': 64, 'widths': (64, 128, 64), 'depths': (2, 3)},
    'Swin-B': {
        'img_size': 64,
        'widths': (16, 32, 16),
        'depths': (1, 2),
        'stage_depths': (1, 1, None, 1),
        'window_size': 2,
    },
    'ResNet-152': {'widths': (32, 64, 32), 'depths': ((1, 1), (1, 1), (1, 2), (1, 1)), 'stem_channels': 32},
}
COLUMNS = ['network', 'batch', 'images/s', 'TFLOP/s', 'of a large product', 'of its own products', 'peak memory']


def measure(
    name: str,
    configs: Path,
    steps: int,
    limit: int,
    batch_size: int | None = None,
    tiny: bool = False,
    changes: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = print,
) -> dict:
    """Search the batch with the intact network as elastic student, then time the typical one.

    Args:
        name: One of ``CONFIGS``.
        configs: Folder of the configs.
        steps: Steps that are timed.
        limit: Images of the largest batch that is tried.
        batch_size: Images of a step, instead of the search.
        tiny: A tiny network on the CPU, to try it all.
        changes: To the config, by dotted keys.
        tell: Gets lines of progress.

    Returns:
        What :func:`benchmark` gives, with ``network``, ``config`` and ``batch_size``.

    Raises:
        UserError: If there is no memory for 2 images.
    """
    options = dict(ONE_GPU)
    if tiny:
        options |= SMALL_VIEWS | {f'model.backbone.{key}': value for key, value in TINY[name].items()}
    options |= changes or {}
    step = (str(configs / CONFIGS[name]), options, 'cpu' if tiny else 'cuda')
    found = batch_size
    if found is None:
        found = largest_batch(TrainingStep.from_config(*step, subnet='intact', batch_size=2), limit, tell=tell)
    while True:
        release_memory()  # of the step before, which refers to itself
        tell(f'{found} images: timing')
        try:
            result = benchmark(TrainingStep.from_config(*step, batch_size=found), steps, warmup=1 if tiny else 5)
            return dict(network=name, config=CONFIGS[name], batch_size=found, **result)
        except RuntimeError as error:  # other shapes than in the search may leave other gaps
            if batch_size or not no_memory(error) or found <= 2:
                raise
        found -= max(1, found // 16)


def table(results: Iterable[dict]) -> str:
    """Markdown, a line for each result of :func:`measure`."""
    rows = [
        [
            result['network'],
            str(result['batch_size']),
            f'{result["images_per_second"]:.1f}',
            f'{result["rate"] / 1e12:.4g}',
            *(f'{result["fractions"][name]:.1%}' for name in ('large_product', 'products_of_the_step')),
            f'{result["peak_memory"] / 2**30:.1f} GiB',
        ]
        for result in results
    ]
    return markdown_table(COLUMNS, rows)

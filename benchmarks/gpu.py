"""What decides how to run the step on a GPU, then the paper's networks, each with the largest batch that fits."""

from __future__ import annotations

import argparse
import time
from argparse import BooleanOptionalAction
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.command import run
from poa_mm.arguments import add_cfg_options, positive, result_folder

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
NETWORKS = {'ViT-L/16': 'poa_vitl.py', 'Swin-B': 'poa_swinb.py', 'ResNet-152': 'poa_resnet152.py'}
ONE_GPU = {'optim_wrapper.total_batch': None, 'optim_wrapper.batch_size': None, 'optim_wrapper.amp_dtype': 'bfloat16'}
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
LARGEST, TINY_LARGEST = 4096, 4  # a CPU's memory does not end the search in any useful time
CHECK_COLUMNS = ['check', 'what', 'measured', 'predicted', 'unit', 'note']
COLUMNS = ['network', 'batch', 'images/s', 'TFLOP/s', 'of a large product', 'of its own products', 'peak memory']


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m benchmarks.gpu', description=__doc__)
    parser.add_argument('--networks', nargs='*', choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument('--checks', action=BooleanOptionalAction, default=True, help='whether to make the checks')
    parser.add_argument('--minutes', type=positive, default=7, help='no check or network starts after these (7)')
    parser.add_argument('--check-batch-size', type=positive, default=32, help='images of a step of the checks (32)')
    parser.add_argument('--tflops', type=float, default=790, help='predictions: bf16 TFLOP/s (790: of an H200)')
    parser.add_argument('--bandwidth', type=float, default=4, help='predictions: TB/s of memory (4)')
    parser.add_argument('--steps', type=positive, default=10, help='timed steps (10)')
    parser.add_argument('--limit', type=positive, help=f'largest batch to try ({LARGEST}; tiny: {TINY_LARGEST})')
    parser.add_argument('--batch-size', type=positive, help='images of a step, instead of the largest batch that fits')
    parser.add_argument('--tiny', action='store_true', help='tiny networks on the CPU, to try the command')
    parser.add_argument('--out', type=result_folder, default='work_dirs/gpu', help='folder for JSON and table')
    add_cfg_options(parser)
    return parser.parse_args(arguments)


def measure(args: argparse.Namespace) -> int:
    """Measures the networks one by one; one that fails leaves the others. Returns the exit status."""
    import torch

    from benchmarks import gpu_checks
    from benchmarks.largest import release_memory
    from benchmarks.step import describe
    from poa_mm.errors import UserError
    from poa_mm.reporting.records import write_json
    from poa_mm.reporting.tables import markdown_table

    if not (args.tiny or torch.cuda.is_available()):
        raise UserError('this machine has no GPU; --tiny tries the command on the CPU')
    results, failed, findings, start = [], {}, [], time.perf_counter()

    def log(text: str) -> None:
        print(f'[{time.perf_counter() - start:.0f} s] {text}', flush=True)

    def write() -> None:  # after each, in case the run is killed
        found = dict(results=results, failed=failed, checks=gpu_checks.as_json(findings), cfg_options=args.cfg_options)
        write_json(args.out / 'gpu.json', found)
        tables = [table(results)] + [markdown_table(CHECK_COLUMNS, gpu_checks.rows(findings))] * bool(findings)
        (args.out / 'gpu.md').write_text('\n\n'.join(tables) + '\n')

    if args.checks:
        with gpu_checks.without_compiler(args.tiny):
            for found in gpu_checks.run_checks(check_setting(args), 60 * args.minutes, log):
                findings += found
                for row in gpu_checks.rows(found):
                    log(' | '.join(row))
                write()
    for name in args.networks:
        if time.perf_counter() - start > 60 * args.minutes:
            log(f'{name}: no time is left')
            continue
        log(name)
        try:
            limit = args.limit or (TINY_LARGEST if args.tiny else LARGEST)
            results.append(measure_network(name, args.steps, limit, args.batch_size, args.tiny, args.cfg_options, log))
            log(describe(results[-1]))
        except RuntimeError as error:  # of CUDA or a library; the other networks can still be measured
            failed[name] = f'{type(error).__name__}: {error}'
            log(f'failed: {failed[name]}')
        write()
        release_memory()
    print(table(results))
    return 1 if failed else 0


def check_setting(args: argparse.Namespace):
    """The ViT's step for the checks."""
    import torch

    from benchmarks.gpu_checks import Setting

    name = 'ViT-L/16'
    return Setting(
        config=str(CONFIGS / NETWORKS[name]),
        options=config_options(name, args.tiny, args.cfg_options),
        device=torch.device('cpu' if args.tiny else 'cuda'),
        batch_size=2 if args.tiny else args.check_batch_size,
        steps=args.steps,
        flops=1e12 * args.tflops,
        bandwidth=1e12 * args.bandwidth,
        tiny=args.tiny,
    )


def config_options(name: str, tiny: bool, changes: Mapping[str, Any] | None) -> dict:
    """Changes to a network's config for one GPU, or for a CPU."""
    from poa_mm.engine.precision import emulates_bfloat16

    options = dict(ONE_GPU)
    if tiny:
        options |= SMALL_VIEWS | {f'model.backbone.{key}': value for key, value in TINY[name].items()}
        if emulates_bfloat16():
            options['optim_wrapper.amp_dtype'] = None
    return options | dict(changes or {})


def measure_network(
    name: str,
    steps: int,
    limit: int,
    batch_size: int | None = None,
    tiny: bool = False,
    changes: Mapping[str, Any] | None = None,
    log: Callable[[str], None] = print,
) -> dict:
    """Searches the batch with the intact network as elastic student, then times the typical one.

    Args:
        name: One of ``NETWORKS``.
        steps: Timed steps.
        limit: Largest batch to try.
        batch_size: Images of a step, instead of the search.
        tiny: A tiny network on the CPU, to try it all.
        changes: To the config, by dotted keys.
        log: Called with lines of progress.

    Returns:
        The result of :func:`benchmarks.step.benchmark`, with ``network``, ``config`` and ``batch_size``.

    Raises:
        UserError: If memory does not suffice for 2 images.
    """
    import torch

    from benchmarks.largest import largest_batch, no_memory, release_memory
    from benchmarks.step import benchmark
    from benchmarks.training import TrainingStep

    options = config_options(name, tiny, changes)
    step = (str(CONFIGS / NETWORKS[name]), options, 'cpu' if tiny else 'cuda')
    found = batch_size
    if found is None:
        found = largest_batch(TrainingStep.from_config(*step, subnet='intact', batch_size=2), limit, log=log)
    while True:
        release_memory()  # of the step before, which refers to itself
        log(f'{found} images: timing')
        try:
            torch._dynamo.reset()  # of other batches
            result = benchmark(TrainingStep.from_config(*step, batch_size=found), steps, warmup=1 if tiny else 5)
            return dict(network=name, config=NETWORKS[name], batch_size=found, **result)
        except RuntimeError as error:  # other shapes than in the search may leave other gaps
            if batch_size or not no_memory(error) or found <= 2:
                raise
        found -= max(1, found // 16)


def table(results: Iterable[dict]) -> str:
    """Markdown, a line for each result of :func:`measure_network`."""
    from poa_mm.reporting.tables import markdown_table

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


if __name__ == '__main__':
    run(parse_args, measure)

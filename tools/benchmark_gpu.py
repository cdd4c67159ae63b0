"""Everything to be measured on one GPU: the paper's three networks, each with the largest batch that fits."""

import argparse
import json
import sys
from pathlib import Path

import torch

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from poa_mm.benchmark import TrainingStep, benchmark, describe, largest_batch, no_memory, release_memory
from poa_mm.launch import load_config

CONFIG_FOLDER = Path(__file__).resolve().parents[1] / 'configs'
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
COLUMNS = '| network | batch | images/s | TFLOP/s | of a large product | of its own products | peak memory |'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--networks', nargs='+', choices=list(CONFIGS), default=list(CONFIGS))
    parser.add_argument('--steps', type=int, default=10, help='steps that are timed')
    parser.add_argument('--limit', type=int, default=4096, help='images of the largest batch that is tried')
    parser.add_argument('--batch-size', type=int, help='images of a step, instead of the largest batch that fits')
    parser.add_argument('--tiny', action='store_true', help='tiny networks on the CPU, to try the command')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/benchmark_gpu'), help='folder for JSON and table')
    args = parser.parse_args()
    if not (args.tiny or torch.cuda.is_available()):
        parser.error('there is no GPU; --tiny tries the command on the CPU')
    return args


def measure(name: str, args: argparse.Namespace) -> dict:
    """Search the batch with the intact network as elastic student, then time the typical one."""
    options = dict(ONE_GPU)
    if args.tiny:
        options |= SMALL_VIEWS | {f'model.backbone.{key}': value for key, value in TINY[name].items()}
    cfg = load_config(str(CONFIG_FOLDER / CONFIGS[name]), options, None, 'none')
    device = torch.device('cpu' if args.tiny else 'cuda')
    torch.backends.cudnn.benchmark = cfg.env_cfg.cudnn_benchmark
    batch_size = args.batch_size or largest_batch(TrainingStep(cfg, device, 'intact', 2), args.limit)
    while True:
        release_memory()
        try:
            result = benchmark(
                TrainingStep(cfg, device, batch_size=batch_size), args.steps, warmup=1 if args.tiny else 5
            )
            return dict(network=name, config=CONFIGS[name], batch_size=batch_size, **result)
        except RuntimeError as error:  # other shapes than in the search may leave other gaps
            if args.batch_size or not no_memory(error) or batch_size <= 2:
                raise
        batch_size -= max(1, batch_size // 16)


def row(result: dict) -> str:
    parts = [result['network'], result['batch_size'], f'{result["images_per_second"]:.1f}']
    parts += [f'{result["rate"] / 1e12:.4g}']
    parts += [f'{100 * result["fractions"][name]:.1f} %' for name in ('large_product', 'products_of_the_step')]
    parts += [f'{result["peak_memory"] / 2**30:.1f} GiB']
    return '| ' + ' | '.join(map(str, parts)) + ' |'


def main() -> None:
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    results, failed = [], {}
    for name in args.networks:
        print(f'--- {name}', flush=True)
        try:
            results.append(measure(name, args))
            print(describe(results[-1]), flush=True)
        except (ValueError, RuntimeError) as error:  # the others are worth having
            failed[name] = str(error)
            print(f'failed: {error}', flush=True)
        (args.out / 'benchmark_gpu.json').write_text(json.dumps(dict(results=results, failed=failed), indent=1) + '\n')
        lines = [COLUMNS, '|' + ' --- |' * 7, *map(row, results)]
        (args.out / 'benchmark_gpu.md').write_text('\n'.join(lines) + '\n')
        release_memory()
    print((args.out / 'benchmark_gpu.md').read_text())
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()

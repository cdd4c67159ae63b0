"""Changes of training and evaluation against the slow versions that they replaced, in turn in one run, on the CPU."""

from __future__ import annotations

import argparse

from benchmarks.command import run
from poa_mm.arguments import positive, result_file

# Name of a change: its function in tests/helpers/twins.py and the arguments of that.
CHANGES = {
    'one pass, 4 images, ViT 192x4': ('joined_crops', 'vit', 192, 4, 4, (96, 48)),
    'one pass, 1 image, ViT 192x4': ('joined_crops', 'vit', 192, 4, 1, (96, 48)),
    'one pass, 1 image, Swin 48x2': ('joined_crops', 'swin', 48, 2, 1, (128, 64)),
    'drop path 0.2 on a subset, FFN of 384': ('drop_path', 4, 384, 0.2),
    'LayerScale in the weights, 4096 x 384': ('layer_scale_in_weights', 4096, 384, 384),
    'scale not on activations, 4096 x 512 of 1024': ('scaled_slice', 4096, 512, 1024, False),
    'scale not on the whole weight, 512 x 512 of 1024': ('scaled_slice', 512, 512, 1024, True),
    'qkv slices as views, 2048 x 512 of 1024': ('sliced_qkv', 2048, 512, 1024),
    'attention, bf16, (64, 6, 65, 32)': ('attention', 64, 6, 65, 32, 'bfloat16'),
    'attention, bf16, (128, 6, 17, 32)': ('attention', 128, 6, 17, 32, 'bfloat16'),
    'attention, bf16, (16, 6, 197, 64)': ('attention', 16, 6, 197, 64, 'bfloat16'),
    'masked patches by index_select, (32, 196, 384)': ('masked_patches', 32, 196, 384),
    'prototypes normed once, 2 x 200 x 16384': ('weight_norm', 200, 256, 16384),
    'Sinkhorn-Knopp by factors, 128 x 16384': ('sinkhorn', 128, 16384),
    'cross-entropy in chunks, 200 x 16384': ('chunked_cross_entropy', 200, 16384, 'float32'),
    'cross-entropy in chunks, 200 x 2048': ('chunked_cross_entropy', 200, 2048, 'float32'),
    'cross-entropy in chunks, bf16, 200 x 16384': ('chunked_cross_entropy', 200, 16384, 'bfloat16'),
    'targets summed, 8 local crops, 8 images x 16384': ('local_crops', 8, 8, 16384),
    'teacher in one call, 8 layers of 384': ('teacher_update', 8, 384),
    'teacher in one call, 24 layers of 32': ('teacher_update', 24, 32),
    'activations computed again, ViT 192x4': ('checkpointing', 192, 4, 8),
    'blocks in common once, 13 ViTs, 192x12 to 192x24': ('in_turn', 'vit', 8, 192, (12, 24)),
    'blocks in common once, 13 Swins, 32x6 to 32x18': ('in_turn', 'swin', 8, 32, (6, 18)),
    'blocks in common once, 12 ResNets, 16x3-4-6-3 to 16x3-8-36-3': (
        'in_turn',
        'resnet',
        8,
        16,
        ([3], [4, 8], (6, 36, 6), [3]),
    ),
}


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m benchmarks.parts', description=__doc__)
    parser.add_argument('--rounds', type=positive, default=20, help='pairs of calls (20)')
    parser.add_argument('--only', default='', metavar='TEXT', help='changes whose name contains this')
    parser.add_argument('--out', type=result_file, help='JSON file for the result')
    args = parser.parse_args(arguments)
    if not any(args.only in name for name in CHANGES):
        parser.error(f'--only {args.only!r} is in none of: ' + '; '.join(CHANGES))
    return args


def measure(args: argparse.Namespace) -> None:
    """Prints a table as it grows."""
    import torch

    from poa_mm.reporting.records import write_json

    results = []
    print('| change | time / slow version | quartiles | kept for the backward pass |\n| --- | --- | --- | --- |')
    for name, (function, *sizes) in CHANGES.items():
        if args.only in name:
            result = dict(change=name, **compare(function, sizes, args.rounds))
            results.append(result)
            low, median, high = (result['ratio'][key] for key in ('lower_quartile', 'median', 'upper_quartile'))
            kept = '' if result['kept'] is None else f'{result["kept"]:.2f}'
            print(f'| {name} | {median:.2f} | {low:.2f} to {high:.2f} | {kept} |', flush=True)
    if args.out:
        how = dict(rounds=args.rounds, threads=torch.get_num_threads(), torch=torch.__version__)
        write_json(args.out, dict(**how, results=results))


def compare(function: str, sizes: list, rounds: int) -> dict:
    """Times of the slow and the fast version that take turns, their ``ratio`` (fast / slow), and that of the bytes
    ``kept`` for the backward pass, ``None`` where there is none."""
    from benchmarks.timing import spread, time_in_turn
    from tests.helpers import twins

    versions = getattr(twins, function)(*sizes)
    kept = None
    if isinstance(versions[0], twins.Differentiable):
        slow, fast = (version.kept_bytes() for version in versions)
        kept = fast / slow
    time_in_turn(versions, min(rounds, 3))
    times = time_in_turn(versions, rounds)
    ratio = spread([b / a for a, b in zip(*times)])
    return dict(ratio=ratio, seconds=[spread(column) for column in times], kept=kept)


if __name__ == '__main__':
    run(parse_args, measure)

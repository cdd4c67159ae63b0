"""Counts the operations of a training step on a GPU that is not there, and predicts its time by a roofline.

The step runs with fake tensors, which have shapes and dtypes but no data.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from benchmarks.command import run
from poa_mm.arguments import add_cfg_options, positive, result_file

if TYPE_CHECKING:
    from benchmarks.fake_gpu import Trace

COLUMNS = ['category', 'calls', 'GFLOP', 'GB', 'ms', 'share']


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m benchmarks.trace', description=__doc__)
    parser.add_argument('config', help='a pre-training config')
    parser.add_argument('--batch-size', type=positive, help="images of a step (the config's)")
    parser.add_argument('--subnet', default='typical', help="elastic student: a member or 'typical'")
    parser.add_argument('--tflops', type=float, default=790, help='bf16 TFLOP/s of large products (790: of an H200)')
    parser.add_argument('--fp32-tflops', type=float, default=50, help='fp32 TFLOP/s (50)')
    parser.add_argument('--bandwidth', type=float, default=4, help='TB/s of memory that kernels reach (4)')
    parser.add_argument('--out', type=result_file, help='JSON file for the result')
    add_cfg_options(parser)
    return parser.parse_args(arguments)


def measure(args: argparse.Namespace) -> None:
    """Prints the table."""
    from benchmarks.fake_gpu import trace
    from poa_mm.reporting.records import write_json
    from poa_mm.reporting.tables import markdown_table

    traced = trace(args.config, args.cfg_options, args.batch_size, args.subnet)
    result = predict(traced, 1e12 * args.tflops, 1e12 * args.fp32_tflops, 1e12 * args.bandwidth)
    total = result['seconds']
    rows = [
        [name, str(c['calls']), f'{c["flops"] / 1e9:.0f}', f'{c["bytes"] / 1e9:.2f}', f'{1e3 * c["seconds"]:.2f}']
        + [f'{c["seconds"] / total:.1%}']
        for name, c in sorted(result['categories'].items(), key=lambda item: -item[1]['seconds'])
    ]
    print(markdown_table(COLUMNS, rows))
    print(
        f'{traced.images} images, elastic student {traced.subnet}: {1e3 * total:.1f} ms a step, '
        f'{result["images_per_second"]:.0f} images/s, {result["bytes_per_image"] / 1e9:.3f} GB moved per image'
    )
    if args.out:
        write_json(args.out, dict(arguments=vars(args), result=result))


def predict(traced: Trace, flops: float, fp32_flops: float, bandwidth: float) -> dict:
    """Time of each category and of the step if every operation runs at the roofline and none waits for the host.

    Args:
        traced: A traced step.
        flops: Half-precision operations per second.
        fp32_flops: Operations per second in fp32.
        bandwidth: Bytes per second.

    Returns:
        ``categories`` (``calls``, ``flops``, ``bytes``, ``seconds``), ``seconds``, ``images_per_second`` and
        ``bytes_per_image``.
    """
    categories: dict[str, dict] = {}
    for operation in traced.operations:
        rate = flops if operation.half else fp32_flops
        found = categories.setdefault(operation.category, dict(calls=0, flops=0, bytes=0, seconds=0.0))
        found['calls'] += 1
        found['flops'] += operation.flops
        found['bytes'] += operation.bytes
        found['seconds'] += max(operation.flops / rate, operation.bytes / bandwidth)
    seconds = sum(c['seconds'] for c in categories.values())
    moved = sum(c['bytes'] for c in categories.values())
    return dict(
        categories=categories,
        seconds=seconds,
        images_per_second=traced.images / seconds,
        bytes_per_image=moved / traced.images,
    )


if __name__ == '__main__':
    run(parse_args, measure)

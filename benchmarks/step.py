"""Time, memory, split and operations of the training step of a pre-training config."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from benchmarks.command import run
from poa_mm.arguments import CfgOptions, add_cfg_options, not_negative, positive, result_file

if TYPE_CHECKING:
    from benchmarks.training import TrainingStep

SQUARE = {'cpu': 2048, 'cuda': 8192}  # a larger product is not faster
RATIO = '{median:.3f} ({min:.3f} to {max:.3f})'


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser('python -m benchmarks.step', description=__doc__)
    parser.add_argument('config', help='a pre-training config')
    parser.add_argument('--steps', type=positive, default=10, help='timed steps (10)')
    parser.add_argument('--warmup', type=not_negative, default=2, help='steps before those (2)')
    parser.add_argument('--batch-size', type=positive, help="images of a micro-batch (the config's)")
    parser.add_argument('--amp', choices=['none', 'bfloat16', 'float16'], help="precision (the config's)")
    parser.add_argument('--subnet', default='typical', help="elastic student: a member, 'typical' or 'drawn'")
    parser.add_argument('--real-data', action='store_true', help="read the config's images, not random crops")
    parser.add_argument('--device', help='cuda if available, else cpu')
    add_cfg_options(parser)
    parser.add_argument(
        '--compare-options', nargs='+', action=CfgOptions, default={}, metavar='KEY=VALUE', help='changes to the second'
    )
    one = parser.add_mutually_exclusive_group()
    one.add_argument('--compare', metavar='CONFIG', help='take turns with this config and print the ratio of times')
    one.add_argument('--against', metavar='REVISION', help='take turns with the step of another git revision')
    one.add_argument('--serve', action='store_true', help='run one step per line of standard input (for --against)')
    parser.add_argument('--out', type=result_file, help='JSON file for the result')
    args = parser.parse_args(arguments)
    if args.compare_options and (args.against or args.serve):
        parser.error('--compare-options goes with --compare or alone, not with --against')
    return args


def measure(args: argparse.Namespace) -> None:
    """Runs what was asked for, prints it, and writes it to ``--out``."""
    from poa_mm.reporting.records import write_json

    def build(path: str, options: dict) -> TrainingStep:
        from benchmarks.training import TrainingStep

        chosen = {name: getattr(args, name) for name in ('subnet', 'batch_size', 'real_data')}
        return TrainingStep.from_config(path, options, args.device, args.amp, **chosen)

    if args.serve:
        serve(build(args.config, args.cfg_options))
        return
    if args.against:
        from benchmarks.revisions import compare_revision

        result = compare_revision(args.against, args.config, args.arguments, args.steps, args.warmup)
        text = f'working tree / {args.against}: ' + RATIO.format(**result['ratio'])
    elif args.compare or args.compare_options:
        from benchmarks.timing import compare_steps

        options = {**({} if args.compare else args.cfg_options), **args.compare_options}
        steps = build(args.config, args.cfg_options), build(args.compare or args.config, options)
        result = compare_steps(*steps, args.steps, args.warmup)
        text = 'second / first: ' + RATIO.format(**result['ratio'])
    else:
        result = benchmark(build(args.config, args.cfg_options), args.steps, args.warmup)
        text = describe(result)
    print(text)
    if args.out:
        write_json(args.out, dict(arguments=vars(args), result=result))


def serve(step: TrainingStep) -> None:
    """One step for each line of standard input, answered by a line when the device has done it."""
    from torch.utils.benchmark import timer

    print('images', step.images, flush=True)
    for _ in sys.stdin:
        step()
        timer()  # waits for the device
        print('done', flush=True)


def benchmark(step: TrainingStep, steps: int = 10, warmup: int = 2) -> dict:
    """Speed, memory, split and operations of a training step.

    Args:
        step: What to measure.
        steps: Number of timed steps; the split is taken from further ones.
        warmup: Steps before anything is measured.

    Returns:
        Numbers in seconds, bytes, images and operations, all of which JSON can hold. ``split`` adds up to the time of
        its own steps, which wait for the device after each part.
    """
    import resource

    import torch

    from benchmarks.operations import OperationCounter, product_rate, square_product_rate
    from benchmarks.timing import spread, time_in_turn, time_parts
    from poa_mm.engine.hooks.warm_up import warm_up

    cuda = step.device.type == 'cuda'
    if step.subnet is None and step.model.sampler:  # load the kernels of every width before timing
        warm_up(step.model, step.next_batch(), step.wrapper.amp_dtype)
    for _ in range(warmup):
        step()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    seconds = spread(time_in_turn([step], steps)[0])
    peak = torch.cuda.max_memory_allocated() if cuda else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    first = step.number
    split = time_parts(step, step.parts(), steps)
    # Drawn sub-networks differ in operations: count those that the split was taken from.
    counted = steps if step.subnet is None and step.model.sampler else 1
    step.number = first
    with torch.compiler.set_stance('force_eager'), OperationCounter() as counter:
        for _ in range(counted):
            step()
    operations = sum(counter.flops.values()) / counted
    rate = operations / seconds['median']
    dtype = step.wrapper.amp_dtype or torch.float32
    rates = {
        'products_of_the_step': product_rate(counter, step.device),
        'large_product': square_product_rate(SQUARE[step.device.type], dtype, step.device),
    }
    return dict(
        device=torch.cuda.get_device_name() if cuda else f'CPU, {torch.get_num_threads()} threads',
        torch=torch.__version__,
        dtype=str(dtype).removeprefix('torch.'),
        images_per_step=step.images,
        subnet=step.subnet and str(step.subnet),
        steps=steps,
        seconds_per_step=seconds,
        images_per_second=step.images / seconds['median'],
        peak_memory=peak,
        split=split,
        operations_per_step=operations,
        operations={name: value / counted for name, value in counter.flops.items()},
        rate=rate,
        rates=rates,
        fractions={name: rate / value for name, value in rates.items()},
    )


def describe(result: dict) -> str:
    """The result of :func:`benchmark` as text."""
    seconds, total = result['seconds_per_step'], sum(result['split'].values())
    shares = (
        f'{fraction:.1%} of {name.replace("_", " ")} ({result["rates"][name] / 1e9:.4g})'
        for name, fraction in result['fractions'].items()
    )
    lines = [
        f'{result["device"]}, {result["dtype"]}, {result["images_per_step"]} images a step, '
        f'elastic student {result["subnet"] or "drawn"}',
        f'{seconds["median"]:.4g} s a step (quartiles {seconds["lower_quartile"]:.4g} and '
        f'{seconds["upper_quartile"]:.4g}), {result["images_per_second"]:.4g} images/s, '
        f'peak memory {result["peak_memory"] / 2**30:.2f} GiB',
        *(f'  {name:20s}{value:10.4f} s {value / total:7.1%}' for name, value in result['split'].items()),
        f'{result["operations_per_step"] / 1e9:.4g} GFLOP a step: {result["rate"] / 1e9:.4g} GFLOP/s, which is '
        + ', '.join(shares),
    ]
    return '\n'.join(lines)


if __name__ == '__main__':
    run(parse_args, measure)

"""Choose the best sub-network within a budget of parameters, operations or time."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from poa_mm.arguments import add_branch, positive, result_folder


def amount(*units: str):
    """An argument type: a number with one of these units, in millions (M), billions (G) or milliseconds (ms)."""

    def read(text: str) -> float:
        for unit in units:
            number = text.removesuffix(unit)
            if number != text:
                try:
                    return float(number) * (1000 if unit == 'G' and 'M' in units else 1)
                except ValueError:
                    break
        raise ArgumentTypeError(f'must be a number and {" or ".join(units)}, such as 8{units[0]}, got {text!r}')

    return read


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument('checkpoint', help='pre-training checkpoint')
    budget = parser.add_argument_group('budget, at least one')
    budget.add_argument(
        '--max-params', type=amount('M', 'G'), metavar='30M', help='most parameters (default: no limit)'
    )
    budget.add_argument(
        '--max-flops',
        type=amount('G'),
        metavar='5G',
        help='most multiply-accumulates for one image (default: no limit)',
    )
    budget.add_argument(
        '--max-latency', type=amount('ms'), metavar='8ms', help='longest time of a batch, measured (default: no limit)'
    )
    quality = parser.add_mutually_exclusive_group(required=True)
    quality.add_argument(
        '--results', metavar='KNN.json', help='accuracies, written by poa knn --subnets all --out (default: --images)'
    )
    quality.add_argument(
        '--images',
        metavar='DIR',
        help='any images, without labels: features are compared with the intact network (default: --results)',
    )
    parser.add_argument('--image-size', type=positive, metavar='PX', help='for cost (default: that of the training)')
    parser.add_argument('--batch', type=positive, default=1, metavar='N', help='for latency (default: 1)')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu', help='for latency (default: cpu)')
    parser.add_argument('--threads', type=positive, metavar='N', help='for latency on a CPU (default: all cores)')
    parser.add_argument('--number', type=positive, default=256, metavar='N', help='images to compare (default: 256)')
    add_branch(parser)
    parser.add_argument(
        '--out',
        type=result_folder,
        metavar='DIR',
        help='write select.md and select.png into this folder (default: print only)',
    )


def run(args: Namespace) -> None:
    """Print the front and the choice, and write them as a table and a picture.

    Raises:
        UserError: If a file cannot be used or no sub-network fits the budget.
    """
    import torch

    from poa_mm.errors import UserError
    from poa_mm.evaluation import selection
    from poa_mm.extraction import open_network
    from poa_mm.extraction.targets.options import check_image_size
    from poa_mm.files import write_text
    from poa_mm.reporting.front import plot_front
    from poa_mm.reporting.records import read_knn
    from poa_mm.reporting.tables import markdown_table

    budget = selection.Budget(args.max_params, args.max_flops, args.max_latency)
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise UserError('--device cuda: PyTorch finds no GPU on this machine')
    network = open_network(args.checkpoint, branch=args.branch)
    backbone = network.backbone
    if len(backbone.space) == 1:
        raise UserError(f'{args.checkpoint} holds one network, so there is nothing to choose')
    size = args.image_size or network.inputs['img_size']
    check_image_size(size, backbone.static_config(backbone.space.intact))
    if args.results:
        quality = selection.quality_from_results(read_knn(args.results), backbone)
        measure = 'k-NN accuracy, %'
    else:
        quality = selection.quality_from_images(network, args.images, args.number, args.device)
        measure = 'similarity of the features with the intact network (linear CKA), %'
    choices = selection.list_choices(backbone, quality, size)
    best, allowed = selection.select(
        choices,
        budget,
        backbone,
        image_size=size,
        batch=args.batch,
        device=args.device,
        threads=args.threads or torch.get_num_threads(),
    )
    cost = list(budget.limits)[-1]
    shown = [c for c in allowed if c.latency is not None] if cost == 'latency' else choices
    front = selection.pareto_front(shown, cost)
    header = ['network', 'size', 'parameters, M', 'operations, G', 'latency, ms', measure, '']
    rows = [
        [
            c.name,
            str(c.subnet),
            f'{c.params:.3g}',
            f'{c.macs:.3g}',
            '' if c.latency is None else f'{c.latency:.2f}',
            f'{c.quality:.1f}',
            'chosen' if c == best else '',
        ]
        for c in (front if best in front else sorted([*front, best], key=lambda c: getattr(c, cost)))
    ]
    table = markdown_table(header, rows)
    branch = ['--branch', args.branch] if args.branch else []
    command = ['poa', 'extract', args.checkpoint, *branch, '--subnets', best.name, '--out', 'subnets']
    text = f'{table}\n\n{best.name} of {len(choices)} sub-networks: {shlex.join(command)}'
    print(text)
    if args.out:
        write_text(args.out / 'select.md', text + '\n')
        points = [[(getattr(c, cost), c.quality, c.name) for c in group] for group in (shown, front, [best])]
        labels = (f'{selection.COSTS[cost]} ({size} px)' if cost != 'params' else selection.COSTS[cost], measure)
        plot_front(points[0], points[1], points[2][0], labels, args.out / 'select.png', budget.limits[cost])
        print(f'written to {args.out}/select.md and select.png')

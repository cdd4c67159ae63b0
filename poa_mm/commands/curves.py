"""Draw the curves of a training run: losses, k-NN, learning rate, gradient norms."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from poa_mm.arguments import result_folder


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument('work_dir', metavar='WORK_DIR', help='folder of the run')
    parser.add_argument(
        '--out',
        type=result_folder,
        metavar='DIR',
        help='write curves.png and curves.html into this folder (default: WORK_DIR)',
    )


def run(args: Namespace) -> None:
    """Write the picture and the page.

    Raises:
        UserError: If nothing was logged in the work dir.
    """
    from poa_mm.reporting.pictures import save_figure
    from poa_mm.visualization.curves import draw_curves, read_curves
    from poa_mm.visualization.page import Section, write_page

    out = args.out or Path(args.work_dir)
    curves = read_curves(args.work_dir)
    last = max(steps[-1] for steps, _ in curves.values())
    values = ', '.join(f'{name} {values[-1]:.4g}' for name, (_, values) in curves.items())
    text = f'To step {last}. Last values: {values}'
    name = Path(args.work_dir).resolve().name
    picture = save_figure(draw_curves(curves, name), out / 'curves.png')
    page = write_page(out / 'curves.html', name, [Section('Curves', text, picture)])
    print(f'written: {picture} {page}')

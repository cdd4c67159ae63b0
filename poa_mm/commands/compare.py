"""Say whether a training run is on track, behind or off, against the reference of its recipe."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from poa_mm.arguments import result_file, result_file_ending
from poa_mm.errors import UserError

if TYPE_CHECKING:
    from poa_mm.reporting.trajectory import Reference

COUNTERS = ('step', 'iter', 'epoch')


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument('work_dir', nargs='?', metavar='WORK_DIR', help='folder of the run')
    parser.add_argument(
        'reference',
        nargs='?',
        metavar='REFERENCE',
        help="file of --make, a config, or the name of a recipe (default: that of the run's config)",
    )
    parser.add_argument(
        '--make',
        nargs='+',
        metavar='WORK_DIR',
        help='make a reference from runs of one recipe (default: compare)',
    )
    parser.add_argument(
        '--out',
        type=result_file,
        metavar='FILE.json',
        help='write the reference of --make into this file (default: none, needed for --make)',
    )
    picture = result_file_ending('.png', '.pdf', '.svg')
    parser.add_argument(
        '--picture', type=picture, metavar='FILE.png', help='picture of the curves (default: WORK_DIR/compare.png)'
    )


def run(args: Namespace) -> None:
    """Print the verdict and a table, and draw the curves; or write a reference.

    Raises:
        UserError: If a run or a reference is missing or something else.
    """
    if args.make:
        if args.work_dir or not args.out:
            raise UserError('--make takes runs, and --out FILE.json')
        make(args.make, args.out)
    elif args.work_dir:
        judge(args.work_dir, args.reference, args.picture or str(Path(args.work_dir) / 'compare.png'))
    else:
        raise UserError('give the folder of a run, or --make')


def judge(run: str, name: str | None, picture: str) -> None:
    """Compare a run with a reference."""
    from poa_mm.reporting.pictures import save_figure
    from poa_mm.reporting.tables import markdown_table
    from poa_mm.reporting.trajectory import at_uniform, compare, verdict
    from poa_mm.reporting.trajectory_picture import draw_comparison
    from poa_mm.visualization.curves import read_curves

    curves = read_curves(run, left_out=COUNTERS)
    reference = find_reference(name or recipe_of(run))
    states = compare(curves, reference)
    found = verdict(states)
    rows = [
        [
            name,
            str(s.last),
            f'{s.value:.5g}',
            f'{s.low:.5g} to {s.high:.5g}',
            f'outside since {s.left}' if s.left else 'inside',
        ]
        for name, s in states.items()
    ]
    print(f'{run} against {reference["source"]}\n')
    print(markdown_table(['value', 'step', 'run', 'reference', 'now'], rows))
    if stuck := at_uniform(curves, reference):
        print(f'at the value of uniform outputs, so the prototypes are frozen or have collapsed: {", ".join(stuck)}')
    print(f'drawn to {save_figure(draw_comparison(curves, reference, states, found), picture)}')
    print(found)


def find_reference(name: str) -> Reference:
    """The bands of runs in a file or of a recipe; where there are none, what a config says before it runs.

    Raises:
        UserError: If there is neither, or the config is not of POA pre-training.
    """
    from poa_mm.config import check_config, load_config
    from poa_mm.config.recipes import is_config
    from poa_mm.engine.forecast import schedules_of, uniform_losses
    from poa_mm.reporting.trajectory import known_recipes, read_reference, reference_of_schedules

    if name in known_recipes() or not is_config(name):
        return read_reference(name)
    cfg, name = load_config(name, {}, None, 'none'), f'{Path(name).stem}.py'
    check_config(cfg)
    return reference_of_schedules(schedules_of(cfg, name), uniform_losses(cfg), f'the schedules of {name}')


def recipe_of(run: str) -> str:
    """The recipe of ours that a run's config has the name of, else that config."""
    from poa_mm.config.recipes import config_folder, run_config
    from poa_mm.reporting.trajectory import known_recipes

    config = run_config(run)
    if config.stem in known_recipes():
        return config.stem
    return str(next(iter(sorted(config_folder().rglob(config.name))), config))


def make(runs: list[str], out: str) -> None:
    """Write a reference from runs."""
    from poa_mm.config.recipes import run_config
    from poa_mm.reporting.records import write_json
    from poa_mm.reporting.trajectory import reference_of_runs
    from poa_mm.visualization.curves import read_curves

    curves = [read_curves(run, left_out=COUNTERS) for run in runs]
    content = reference_of_runs(curves, f'{len(runs)} runs of {run_config(runs[0]).name}')
    print(f'written to {write_json(out, content)}: {", ".join(content["bands"])}')

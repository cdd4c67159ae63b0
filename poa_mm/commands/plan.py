"""Say what a recipe of pre-training or distillation needs of a GPU's memory, and what makes it fit."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from poa_mm.arguments import add_cfg_options, positive, result_file


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        'config', metavar='CONFIG', help='config of a pre-training or a distillation: a file or the name of a recipe'
    )
    parser.add_argument('--gpus', type=positive, default=8, help='number of GPUs (default: 8)')
    parser.add_argument(
        '--memory', type=positive, nargs='+', default=[80, 141], metavar='GB', help='of one GPU (default: 80 141)'
    )
    parser.add_argument('--out', type=result_file, metavar='FILE.json', help='write the figures (default: print only)')
    add_cfg_options(parser)


def run(args: Namespace) -> None:
    """Print the parts of the need, and a line for each way to make it fit.

    Raises:
        UserError: The config is not one of these, or its batch cannot be divided among the GPUs.
    """
    from poa_mm.config import load_config
    from poa_mm.config.config_check import check_config
    from poa_mm.engine.plan import A100_RATE, GB, Planner, cost
    from poa_mm.reporting.records import write_json
    from poa_mm.reporting.tables import markdown_table

    def gigabytes(size: float) -> str:
        return f'{size / GB:.1f}' if size >= 0.1 * GB else f'{size / GB:.1g}'

    cfg = load_config(args.config, args.cfg_options, None, 'none')
    check_config(cfg)
    planner = Planner(cfg, args.gpus)
    recipe = planner.recipe()
    rows = [[name, gigabytes(size)] for name, size in recipe.parts.items()]
    images = f'{recipe.batch_size} images x {recipe.micro_batches} micro-batches on each'
    print(f'{args.config} on {args.gpus} GPU{"s" * (args.gpus > 1)}: {images}\n')
    print(markdown_table(['on one GPU', 'GB'], [*rows, ['sum', gigabytes(recipe.need)]]), '\n')
    plans = [recipe]
    for memory in sorted(args.memory):
        if recipe.need > memory * GB:
            plans += [plan for plan in planner.smaller(memory * GB) if plan not in plans]
    fits = [[f'{"yes" if plan.need <= memory * GB else "no"}' for memory in sorted(args.memory)] for plan in plans]
    lines = [
        [' '.join(plan.switches) or 'as it is', gigabytes(plan.need), *held, cost(plan, recipe)]
        for plan, held in zip(plans, fits)
    ]
    print(markdown_table(['--cfg-options', 'GB', *(f'{m} GB' for m in sorted(args.memory)), 'cost'], lines))
    flops = planner.run_flops()
    hours = flops / A100_RATE / 3600
    print(f'{flops / 1e18:.4g} EFLOP in the whole run: {hours:.4g} GPU-hours on A100, estimated at 71 TFLOP/s')
    if args.out:
        found = [
            dict(switches=p.switches, need=p.need, parts=p.parts, flops=p.flops, cost=cost(p, recipe)) for p in plans
        ]
        print(
            f'written to {write_json(args.out, dict(config=args.config, gpus=args.gpus, run_flops=flops, plans=found))}'
        )

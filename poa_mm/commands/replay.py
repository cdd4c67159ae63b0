"""Compute a step again that was skipped because it was not finite, and name the module where that began."""

from argparse import ArgumentParser, Namespace

from poa_mm.arguments import add_cfg_options, add_launcher


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument('step', metavar='STEP.json', help='WORK_DIR/skipped/step_N_rank_R.json, written by poa train')
    add_cfg_options(parser)
    add_launcher(parser)


def run(args: Namespace) -> None:
    """Train from the checkpoint before the step, in a folder of its own, and watch the step.

    Raises:
        UserError: The file, the config of the run or the checkpoint is missing, or the number of processes differs.
    """
    from poa_mm.launch.replay import replay

    for line in replay(args.step, args.cfg_options, args.launcher, args.local_rank):
        print(line)

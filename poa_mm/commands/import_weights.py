"""Import weights of DINOv2, timm, transformers, torchvision or mmpretrain, to continue from."""

import shlex
from argparse import ArgumentParser, Namespace

from poa_mm.arguments import add_branch, add_cfg_options, positive, result_file_ending
from poa_mm.errors import UserError


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        'source', help='.pth, .bin or .safetensors, or a folder of transformers or timm; names are recognised'
    )
    parser.add_argument('config', help='config file of a pre-training; its intact network is the one of the source')
    parser.add_argument(
        '--out',
        required=True,
        type=result_file_ending('.pth'),
        metavar='FILE.pth',
        help='write the checkpoint, for load_from, into this file',
    )
    parser.add_argument(
        '--reorder',
        choices=['magnitude', 'firstorder'],
        help='sort channels, heads and hidden units by importance: size of the weights, or change of the features '
        '(default: keep their order)',
    )
    parser.add_argument(
        '--images', metavar='DIR', help='of --reorder firstorder: any images, without labels (default: none)'
    )
    parser.add_argument('--number', type=positive, default=256, metavar='N', help='of these images (default: 256)')
    add_branch(parser)
    add_cfg_options(parser)


def run(args: Namespace) -> None:
    """Write a checkpoint whose teacher and student are the network of the source.

    Raises:
        UserError: If the source cannot be read, or does not fit the config.
    """
    from poa_mm.config import load_config
    from poa_mm.config.config_check import check_config
    from poa_mm.extraction.importing import import_weights
    from poa_mm.reporting.tables import markdown_table

    if (args.reorder == 'firstorder') != (args.images is not None):
        raise UserError('--reorder firstorder needs --images DIR, and nothing else reads it')
    cfg = load_config(args.config, args.cfg_options, None, 'none')
    check_config(cfg)
    imported = import_weights(args.source, cfg, args.branch)
    for note in imported.notes:
        print(note)
    if args.reorder:
        blocks = imported.reorder(args.images, args.number)
        rows = [[block.rstrip('.'), f'{score:.4g}'] for block, score in sorted(blocks.items(), key=lambda b: -b[1])]
        print(markdown_table(['block, most important first', 'importance'], rows))
        print('Channels, heads and hidden units are sorted. Blocks keep their places: sub-networks space them evenly.')
    space = imported.backbone.space
    print(f'{imported.library} -> {imported.save(args.out)}: {len(space)} sub-networks, {space.describe()}')
    options = [f'{key}={text}' for key, text in args.cfg_options.texts.items()]
    print(shlex.join(['poa', 'train', args.config, '--cfg-options', *options, f'load_from={args.out}']))

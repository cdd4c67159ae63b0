"""Import weights of DINOv2, timm, transformers, torchvision or mmpretrain, to continue from."""

from argparse import ArgumentParser, Namespace

from poa_mm.arguments import add_branch, add_cfg_options, result_file_ending


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
    add_branch(parser)
    add_cfg_options(parser)


def run(args: Namespace) -> None:
    """Write a checkpoint whose teacher and student are the network of the source.

    Raises:
        UserError: If the source cannot be read, or does not fit the config.
    """
    from poa_mm.config_check import check_config
    from poa_mm.extraction.importing import import_weights
    from poa_mm.launch import load_config

    cfg = load_config(args.config, args.cfg_options, None, 'none')
    check_config(cfg)
    imported = import_weights(args.source, cfg, args.branch)
    for note in imported.notes:
        print(note)
    space = imported.backbone.space
    print(f'{imported.library} -> {imported.save(args.out)}: {len(space)} sub-networks, {space.describe()}')
    print(f'poa train {args.config} --cfg-options load_from={args.out}')

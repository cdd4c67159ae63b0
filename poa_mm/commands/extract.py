"""Extract sub-networks of a pre-training checkpoint as ordinary backbones."""

import sys
from argparse import ArgumentParser, Namespace

from poa_mm.arguments import add_branch, result_folder


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('checkpoint', help='pre-training checkpoint')
    parser.add_argument(
        '--out', type=result_folder, required=True, metavar='DIR', help='write the extracted networks into this folder'
    )
    parser.add_argument(
        '--subnets',
        nargs='+',
        default=['named'],
        metavar='SUBNET',
        help="names (S), sizes (512x16), 'smallest', 'intact', 'named' or 'all' (default: named)",
    )
    parser.add_argument('--config', help='pre-training config (default: the one in the checkpoint)')
    parser.add_argument(
        '--format',
        default='mmpretrain',
        help='toolbox that the networks are for: mmpretrain, mmdet or mmseg (default: mmpretrain)',
    )
    add_branch(parser)


def run(args: Namespace) -> None:
    from mmengine.config import Config

    from poa_mm.extraction import export_subnet, load_pretrained
    from poa_mm.files import load_weights
    from poa_mm.recipes import find_config
    from poa_mm.reporting.tables import markdown_table

    cfg = Config.fromfile(find_config(args.config)) if args.config else None
    backbone, meta = load_pretrained(args.checkpoint, cfg, args.branch)
    rows = []
    for subnet in backbone.space.select(args.subnets):
        path = export_subnet(backbone, subnet, args.out, meta, args.format)
        params = f'{load_weights(path)["meta"]["num_params"]:,}'
        rows.append([backbone.space.name(subnet), str(path), str(subnet), params])
        print(f'[{len(rows)}] {path}', file=sys.stderr)
    print(markdown_table(['network', 'file', 'size', 'parameters'], rows))
    print(f'{len(rows)} sub-networks from the {meta["branch"]} of {args.checkpoint}, iteration {meta["iteration"]}')

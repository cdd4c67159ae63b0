"""Extract sub-networks of a pre-training checkpoint as ordinary networks."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from poa_mm.arguments import add_branch, add_subnets, positive, result_folder
from poa_mm.errors import UserError

TOOLBOXES = 'mmpretrain, mmdet or mmseg'
LIBRARIES = 'timm, transformers, onnx, torch.export or safetensors'


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('checkpoint', help='pre-training checkpoint')
    parser.add_argument(
        '--out', type=result_folder, required=True, metavar='DIR', help='write the extracted networks into this folder'
    )
    add_subnets(parser)
    parser.add_argument('--config', help='pre-training config (default: the one in the checkpoint)')
    parser.add_argument(
        '--format',
        default='mmpretrain',
        help=f'what the networks are for: {TOOLBOXES} (two files each), {LIBRARIES} (a folder each) '
        '(default: mmpretrain)',
    )
    add_branch(parser)
    folders = parser.add_argument_group(f'options of {LIBRARIES}')
    folders.add_argument(
        '--image-size',
        type=positive,
        metavar='PIXELS',
        help='side of the images that the network is written for (default: that of pre-training)',
    )
    folders.add_argument(
        '--maps',
        action='store_true',
        help='onnx, torch.export: write the maps of the dense backbone (default: the image feature)',
    )
    folders.add_argument(
        '--any-size',
        action='store_true',
        help='onnx: take images of any size, with a ResNet (default: one size)',
    )
    folders.add_argument(
        '--results', metavar='FILE', help='list these results of poa knn in the model card (default: none)'
    )
    folders.add_argument(
        '--push',
        metavar='REPO',
        help='upload the folder to this repository of the Hugging Face hub (default: upload nothing)',
    )


def run(args: Namespace) -> None:
    from poa_mm.config import check_config, load_config
    from poa_mm.extraction import FORMATS, extract_network, load_pretrained
    from poa_mm.extraction.targets import TARGETS, Options, check_target, hub, toolbox_of_maps, write_target
    from poa_mm.extraction.targets.card import card_results
    from poa_mm.extraction.targets.options import flag
    from poa_mm.reporting.records import read_knn
    from poa_mm.reporting.tables import markdown_table

    options = Options(image_size=args.image_size, maps=args.maps, any_size=args.any_size)
    if args.format not in (*FORMATS, *TARGETS):
        raise UserError(f'format must be one of {[*FORMATS, *TARGETS]}, got {args.format!r}')
    if args.format in TARGETS:
        check_target(args.format, options)
    elif given := [*options.given(), *(name for name in ('results', 'push') if getattr(args, name))]:
        raise UserError(f'{", ".join(map(flag, given))}: only for --format {LIBRARIES}')
    record = read_knn(args.results) if args.results else None
    cfg = load_config(args.config, {}, None, 'none') if args.config else None
    if cfg is not None:
        check_config(cfg)
    backbone, meta = load_pretrained(args.checkpoint, cfg, args.branch)
    subnets = backbone.space.select(args.subnets)
    if args.push and len(subnets) != 1:
        raise UserError(f'a repository holds one network: --push needs one of --subnets, not {len(subnets)}')
    rows = []
    for subnet in subnets:
        toolbox = args.format if args.format in FORMATS else 'mmpretrain'
        network = extract_network(backbone, subnet, meta, toolbox_of_maps(backbone, subnet) if args.maps else toolbox)
        if args.format in FORMATS:
            path = network.save(args.out)
        else:
            results = card_results(record, network) if record else ()
            path = write_target(network, Path(args.out, network.name), args.format, options, results)
        rows.append([network.name, str(path), network.subnet, f'{network.num_params:,}'])
        print(f'[{len(rows)}] {path}', file=sys.stderr)
    print(markdown_table(['network', 'file', 'size', 'parameters'], rows))
    print(f'{len(rows)} sub-networks from the {meta["branch"]} of {args.checkpoint}, iteration {meta["iteration"]}')
    if args.push:
        print(f'pushed to {hub.push_folder(path, args.push)}')

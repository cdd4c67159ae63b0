"""Extract sub-networks of a pre-training checkpoint as ordinary backbones."""

import argparse
import sys
from pathlib import Path

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

try:
    from mmengine.config import Config

    from poa_mm.evaluation import markdown_table
    from poa_mm.extraction import FORMATS, export_subnet, load_pretrained
    from poa_mm.files import load_weights
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is not installed: see docs/install.md (make env, or pip install poa_mm[openmmlab])')


def parse_args() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='file that pre-training wrote')
    parser.add_argument('--out', required=True, help='folder for the extracted networks')
    parser.add_argument(
        '--subnets',
        nargs='+',
        default=['named'],
        metavar='SUBNET',
        help="names (S), sizes (512x16), 'smallest', 'intact', 'named' (the default) or 'all'",
    )
    parser.add_argument('--config', help='pre-training config, for a checkpoint that holds none')
    parser.add_argument(
        '--format', choices=list(FORMATS), default='mmpretrain', help='toolbox that the networks are for'
    )
    parser.add_argument('--branch', choices=['teacher', 'student'], default='teacher')
    return parser, parser.parse_args()


def main() -> None:
    parser, args = parse_args()
    try:
        if args.config and not Path(args.config).is_file():
            raise FileNotFoundError(f'config {args.config!r} does not exist')
        cfg = Config.fromfile(args.config) if args.config else None
        backbone, meta = load_pretrained(args.checkpoint, cfg, args.branch)
        rows = []
        for subnet in backbone.space.select(args.subnets):
            path = export_subnet(backbone, subnet, args.out, meta, args.format)
            params = f'{load_weights(path)["meta"]["num_params"]:,}'
            rows.append([backbone.space.name(subnet), str(path), str(subnet), params])
            print(f'[{len(rows)}] {path}', file=sys.stderr)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(markdown_table(['network', 'file', 'size', 'parameters'], rows))
    print(f'{len(rows)} sub-networks from the {args.branch} of {args.checkpoint}, iteration {meta["iteration"]}')


if __name__ == '__main__':
    main()

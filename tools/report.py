"""Turn results of tools/knn.py into a table and pictures."""

import argparse
import sys
from pathlib import Path

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

try:
    from poa_mm.evaluation import knn_table, read_knn
    from poa_mm.visualization import plot_heat_map, plot_size_curve
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is not installed: see docs/install.md (make env, or pip install poa_mm[openmmlab])')


def parse_args() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('results', nargs='+', metavar='FILE.json', help='results of one elastic network')
    parser.add_argument('--single', nargs='+', default=[], metavar='FILE.json', help='of networks trained alone')
    parser.add_argument('--out', required=True, help='folder for knn.md, size_curve.png and heat_map.png')
    parser.add_argument('--k', type=int, help='number of neighbours (the best of each network)')
    parser.add_argument('--title', default='', help='above the pictures')
    return parser, parser.parse_args()


def main() -> None:
    parser, args = parse_args()
    out = Path(args.out)
    try:
        files = [read_knn(path) for path in args.results]
        results = [result for content in files for result in content['results']]
        single = [r for path in args.single for r in read_knn(path)['results'] if r['kind'] == 'pretrained']
        ks = sorted(set.intersection(*(set(content['protocol']['ks']) for content in files)))
        table = knn_table([*results, *({**r, 'kind': 'trained alone'} for r in single)], ks)
        out.mkdir(parents=True, exist_ok=True)
        notes = ''.join(f'- {content["summary"]} ({content["time"]})\n' for content in files)
        (out / 'knn.md').write_text(f'{table}\n\n{notes}')
        pictures = [plot_size_curve(results, out / 'size_curve.png', single, args.k, args.title)]
        if any(result['kind'] == 'pretrained' for result in results):
            pictures.append(plot_heat_map(results, out / 'heat_map.png', args.k, title=args.title))
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(table)
    print('written:', *[out / 'knn.md', *pictures])


if __name__ == '__main__':
    main()

"""Turn the results of all protocols into tables beside the paper's, and those of k-NN into pictures."""

import argparse
import sys
from pathlib import Path

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

try:
    from poa_mm.evaluation import read_knn, read_results, result_table
    from poa_mm.reporting.knn_pictures import STYLES, plot_heat_map, plot_size_curve
    from poa_mm.reporting.report import report
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is not installed: see docs/install.md (make env, or pip install poa_mm[openmmlab])')


def parse_args() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('results', nargs='+', metavar='FILE.json|DIR', help='results of one elastic network')
    parser.add_argument('--single', nargs='+', default=[], metavar='FILE.json', help='of networks trained alone')
    parser.add_argument(
        '--out', required=True, help='folder for report.md, and of k-NN knn.md, size_curve.png, heat_map.png'
    )
    parser.add_argument('--k', type=int, help='number of neighbours (the best of each network)')
    parser.add_argument('--title', default='', help='above the pictures')
    return parser, parser.parse_args()


def draw_knn(files: list[dict], single: list[str], out: Path, k: int | None, title: str) -> list[Path]:
    """A table of every k-NN file, and the pictures of all, of each family apart where there are several."""
    others = [read_knn(path) for path in single]
    for content in others:
        content['results'] = [{**r, 'kind': 'trained alone'} for r in content['results'] if r['kind'] == 'pretrained']
    tables = [f'{content["summary"]} ({content["time"]})\n\n{result_table(content)}\n' for content in [*files, *others]]
    (out / 'knn.md').write_text('\n'.join(tables))
    results, alone = ([r for content in contents for r in content['results']] for contents in (files, others))
    written = [out / 'knn.md']
    families = sorted({r['family'] for r in results if r['kind'] in STYLES})
    for family in families:
        chosen, chosen_alone = ([r for r in rows if r.get('family', family) == family] for rows in (results, alone))
        suffix = f'_{family}' if len(families) > 1 else ''
        written.append(plot_size_curve(chosen, out / f'size_curve{suffix}.png', chosen_alone, k, title))
        if any(result['kind'] == 'pretrained' for result in chosen):
            written.append(plot_heat_map(chosen, out / f'heat_map{suffix}.png', k, title=title))
    return written


def main() -> None:
    parser, args = parse_args()
    out = Path(args.out)
    try:
        contents = read_results(args.results)
        page = report(contents)
        out.mkdir(parents=True, exist_ok=True)
        (out / 'report.md').write_text(page)
        written = [out / 'report.md']
        knn = [content for content in contents if content['protocol']['name'] == 'knn']
        if knn:
            written += draw_knn(knn, args.single, out, args.k, args.title)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(page)
    print('written:', *written)


if __name__ == '__main__':
    main()

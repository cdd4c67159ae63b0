"""Write tables of all protocols' results beside the paper's, and pictures of those of k-NN."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path

from poa_mm.arguments import result_folder


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('results', nargs='+', metavar='FILE.json|DIR', help='results of one elastic network')
    parser.add_argument(
        '--single',
        nargs='+',
        default=[],
        metavar='FILE.json',
        help='k-NN results of networks trained alone (default: none)',
    )
    parser.add_argument(
        '--out',
        type=result_folder,
        required=True,
        metavar='DIR',
        help='write report.md, and of k-NN knn.md, size_curve.png and heat_map.png, into this folder',
    )
    parser.add_argument(
        '--paper',
        action='store_true',
        help='also write paper.md: every figure of the paper beside ours, those that are missing included',
    )
    parser.add_argument('--k', type=int, help='number of neighbours (default: the best of each network)')
    parser.add_argument('--title', default='', help='title of the pictures (default: none)')


def run(args: Namespace) -> None:
    from poa_mm.files import write_text
    from poa_mm.reporting.paper_report import paper_report
    from poa_mm.reporting.records import read_results
    from poa_mm.reporting.report import report

    contents = read_results(args.results)
    page = report(contents)
    written = [write_text(args.out / 'report.md', page)]
    if args.paper:
        written.append(write_text(args.out / 'paper.md', paper_report(contents)))
    knn = [content for content in contents if content['protocol']['name'] == 'knn']
    if knn:
        written += report_knn(knn, args.single, args.out, args.k, args.title)
    print(page)
    print('written:', *written)


def report_knn(contents: list[dict], single: list[str], out: Path, k: int | None, title: str) -> list[Path]:
    """Write a table of every k-NN result file, and pictures of all of them, one set per family."""
    from poa_mm.files import write_text
    from poa_mm.reporting.knn_pictures import STYLES, plot_heat_map, plot_size_curve
    from poa_mm.reporting.records import read_knn
    from poa_mm.reporting.tables import result_table

    others = [read_knn(path) for path in single]
    for other in others:
        other['results'] = [{**r, 'kind': 'trained alone'} for r in other['results'] if r['kind'] == 'pretrained']
    tables = [f'{c["summary"]} ({c["time"]})\n\n{result_table(c)}\n' for c in [*contents, *others]]
    written = [write_text(out / 'knn.md', '\n'.join(tables))]
    queries = _common(c['data']['val']['images'] for c in contents)
    classes = _common(c.get('classes') for c in contents)
    results, alone = ([r for content in group for r in content['results']] for group in (contents, others))
    families = sorted({r['family'] for r in results if r['kind'] in STYLES})
    for family in families:
        chosen, chosen_alone = ([r for r in rows if r.get('family', family) == family] for rows in (results, alone))
        suffix = f'_{family}' if len(families) > 1 else ''
        written.append(
            plot_size_curve(chosen, out / f'size_curve{suffix}.png', chosen_alone, k, title, queries, classes)
        )
        if any(result['kind'] == 'pretrained' for result in chosen):
            written.append(plot_heat_map(chosen, out / f'heat_map{suffix}.png', k, title=title, queries=queries))
    return written


def _common(values: Iterable[int | None]) -> int | None:
    """The value of all result files; ``None`` where they differ or an older one does not have it."""
    found = set(values)
    return found.pop() if len(found) == 1 else None

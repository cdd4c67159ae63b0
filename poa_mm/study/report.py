"""A study as a page and two pictures, from its result files alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from poa_mm.errors import UserError
from poa_mm.files import write_text
from poa_mm.reporting.tables import markdown_table

from .definition import Study
from .picture import plot_gains, plot_sizes
from .results import Result, read_results
from .summary import Summary


def report(study: Study, folder: Path) -> list[Path]:
    """Write ``table.md``, ``sizes.png`` and ``gains.png`` beside the result files.

    Args:
        study: The study.
        folder: With its result files.

    Returns:
        The files written; a picture is left out where the study draws no row or compares none that has results.

    Raises:
        UserError: Without results.
    """
    results = read_results(folder, study)
    if not results:
        raise UserError(f'{folder} has no results of the runs of this study')
    written = [write_text(folder / 'table.md', page(study, results))]
    summaries = [Summary(study, results, protocol) for protocol in study.judge]
    if any(row in summaries[0].values for row in study.picture):
        written.append(plot_sizes(study, results, folder / 'sizes.png', summaries[0].protocol))
    if any(summary.compared() for summary in summaries):
        written.append(plot_gains(study, results, folder / 'gains.png'))
    return written


def page(study: Study, results: Mapping[str, Mapping[int, Result]]) -> str:
    """Title, what was measured, and one table for each protocol, as Markdown."""
    found = [result for by_seed in results.values() for result in by_seed.values()]
    judged = {f'{r["queries"]} images classified among {r["gallery"]}, {r["classes"]} classes' for r in found}
    pixels = {f'{r["thumbnails"]:.1f}' for r in found if 'thumbnails' in r}
    lines = [f'{len(found)} runs; {"; ".join(sorted(judged))}; mean ± standard error over seeds, differences paired.']
    if pixels:
        lines.append(f'8 x 8 pixels: {", ".join(sorted(pixels))} % (k-NN).')
    tables = [Summary(study, results, protocol).table() for protocol in study.judge]
    return '\n\n'.join([f'# {study.title}', ' '.join(lines), *tables, costs(study, results)]) + '\n'


def costs(study: Study, results: Mapping[str, Mapping[int, Result]]) -> str:
    """Steps, images and operations of every run, as a table."""
    rows = []
    for run in study.runs:
        for result in list(results.get(run.name, {}).values())[:1]:
            operations = f'{result["petaflop"]:.3g}' if 'petaflop' in result else ''
            rows.append([run.name, str(result.get('steps', '')), str(result.get('images', '')), operations])
    return markdown_table(['run', 'steps', 'images seen', 'operations, 10^15'], rows)

"""The k-NN protocol, from the options to the record."""

from __future__ import annotations

from typing import Any

from poa_mm.errors import UserError
from poa_mm.reporting.tables import spans

from .comparison import EvalOptions, open_comparison
from .knn import TEMPERATURE, evaluate_knn, paper_ks

KNN_DEFAULTS = dict(ks=None, temperature=TEMPERATURE, at_a_time=None)


def run_knn(inputs: EvalOptions) -> dict[str, Any]:
    """Evaluate sub-networks by k-NN; each image is read once for all of them, or for ``at_a_time`` of them.

    Settings are ``train``, ``val`` (configs of data sets, or folders), ``ks`` (default: :func:`paper_ks`), ``resize``,
    ``crop`` (pixels), ``temperature`` and ``at_a_time`` (networks; each keeps its features of all queries in memory).

    Args:
        inputs: Arguments of the command.

    Returns:
        The content of a result file, of plain Python types.

    Raises:
        UserError: If a file or the data are missing, a setting makes no sense, or there is nothing to compare.
    """
    comparison = open_comparison(inputs, 'knn', KNN_DEFAULTS)
    settings = comparison.settings
    if settings['ks'] is None:
        settings['ks'] = paper_ks(len(comparison.train))
    settings['ks'] = sorted(set(settings['ks']))
    networks = [(candidate.key, candidate.network) for candidate in comparison.candidates]
    size = settings['at_a_time'] or len(networks)
    if size < 1:
        raise UserError(f'networks at a time must be at least 1, got {size}')
    accuracy = {}
    for start in range(0, len(networks), size):
        reader = comparison.reader(dict(networks[start : start + size]))
        accuracy |= evaluate_knn(reader, comparison.train, comparison.val, settings['ks'], settings['temperature'])
    results = [_result(candidate.record(), accuracy[candidate.key]) for candidate in comparison.candidates]
    return comparison.record('knn', results, reader.all_unreadable(), 'k-NN', f': {spans(results)}', **settings)


def _result(record: dict, accuracy: dict[int, float]) -> dict:
    best = max(sorted(accuracy), key=accuracy.__getitem__)  # the smallest of several
    rounded = {str(k): round(value, 4) for k, value in accuracy.items()}
    return dict(**record, accuracy=rounded, best_k=best, best=rounded[str(best)])

"""The k-NN protocol from a config to a record: what is compared, on which data, with which settings."""

from __future__ import annotations

from typing import Any

from .comparison import Inputs, open_comparison
from .knn import evaluate_knn
from .tables import spans

KNN_DEFAULTS = dict(ks=(10, 20, 100, 200), temperature=0.07)


def run_knn(inputs: Inputs) -> dict[str, Any]:
    """Evaluate sub-networks by k-NN; every image is read once.

    Settings are ``train``, ``val`` (configs of data sets, or folders), ``ks``, ``resize``, ``crop`` (pixels) and
    ``temperature``.

    Args:
        inputs: The networks and the data.

    Returns:
        Everything that a result file holds, of plain Python types.

    Raises:
        FileNotFoundError: If a file or the data are missing.
        ValueError: If a setting makes no sense, or there is nothing to compare.
    """
    comparison = open_comparison(inputs, 'knn', KNN_DEFAULTS)
    settings = comparison.settings
    settings['ks'] = sorted(set(settings['ks']))
    reader = comparison.reader()
    accuracy = evaluate_knn(reader, comparison.train, comparison.val, settings['ks'], settings['temperature'])
    results = [_result(candidate.record(), accuracy[candidate.key]) for candidate in comparison.candidates]
    summary = f'k-NN{comparison.where()} on {len(comparison.val)} images: {spans(results)}'
    return comparison.record('knn', results, reader.all_unreadable(), summary, **settings)


def _result(record: dict, accuracy: dict[int, float]) -> dict:
    best = max(sorted(accuracy), key=accuracy.__getitem__)  # the smallest of several
    rounded = {str(k): round(value, 4) for k, value in accuracy.items()}
    return dict(**record, accuracy=rounded, best_k=best, best=rounded[str(best)])

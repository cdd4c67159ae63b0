"""Unsupervised classification: k-means on frozen features, compared with the classes (POA, sec. 4)."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.dist import broadcast_object_list, is_main_process
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, fowlkes_mallows_score, normalized_mutual_info_score
from torch import Tensor

from poa_mm.errors import UserError

from .comparison import EvalOptions, open_comparison
from .linear import check_features

CLUSTER_DEFAULTS = dict(clusters=None, restarts=10, normalize=True)


def cluster_accuracy(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Share of images (N,) in the right class, with the best assignment of clusters to classes.

    The assignment is found by the Hungarian algorithm. With more clusters than classes, the images of the remaining
    clusters count as wrong.
    """
    classes, label = np.unique(labels, return_inverse=True)
    names, cluster = np.unique(clusters, return_inverse=True)
    together = np.zeros((len(classes), len(names)), dtype=np.int64)
    np.add.at(together, (label, cluster), 1)
    rows, columns = linear_sum_assignment(together, maximize=True)
    return float(together[rows, columns].sum() / len(labels))


def cluster_scores(features: Tensor, labels: Tensor, clusters: int, restarts: int = 10, seed: int = 0) -> dict:
    """k-means on features (N, D), compared with the classes (N,).

    Args:
        features: One row per image.
        labels: Classes.
        clusters: Number of clusters.
        restarts: Of k-means, from different starts; the one with the least sum of squares counts.
        seed: Of the starts.

    Returns:
        In per cent: ``acc`` (Hungarian), ``ari`` (adjusted Rand index), ``nmi`` (normalised mutual information,
        arithmetic mean) and ``fmi`` (Fowlkes-Mallows index).

    Raises:
        UserError: If there are fewer images than clusters, or fewer than two clusters.
    """
    check_clusters(clusters, len(features))
    found = KMeans(clusters, n_init=restarts, random_state=seed).fit_predict(features.float().cpu().numpy())
    labels = labels.cpu().numpy()
    scores = dict(
        acc=cluster_accuracy(labels, found),
        ari=adjusted_rand_score(labels, found),
        nmi=normalized_mutual_info_score(labels, found),
        fmi=fowlkes_mallows_score(labels, found),
    )
    return {name: round(100 * float(value), 4) for name, value in scores.items()}


def check_clusters(clusters: int, images: int) -> None:
    """Check the number of clusters.

    Raises:
        UserError: If there are fewer images than clusters, or fewer than two clusters.
    """
    if not 2 <= clusters <= images:
        raise UserError(f'clusters must be from 2 to the number of images, {images}, got {clusters}')


def run_clustering(inputs: EvalOptions) -> dict[str, Any]:
    """Cluster the validation images by features of all networks; each image is read once.

    Settings, beside those of the data, are ``clusters`` (as many as there are classes), ``restarts`` and ``normalize``:
    whether features are L2-normalised (the authors' program takes them as they are).

    Args:
        inputs: Arguments of the command.

    Returns:
        The content of a result file, of plain Python types.

    Raises:
        UserError: If a file or the data are missing, if a setting makes no sense or features are not finite.
    """
    comparison = open_comparison(inputs, 'cluster', CLUSTER_DEFAULTS, learns=False)
    settings = comparison.settings
    if settings['restarts'] < 1:
        raise UserError(f'restarts must be at least 1, got {settings["restarts"]}')
    reader = comparison.reader(normalize=settings['normalize'])
    features, labels, _ = reader.collect(comparison.val, 'val')
    check_features(features)
    clusters = comparison.classes if settings['clusters'] is None else settings['clusters']
    check_clusters(clusters, len(labels))  # in all processes, which would otherwise wait for the first
    scores: list[dict | None] = [None] * len(features)
    if is_main_process():
        scores = [
            cluster_scores(rows, labels, clusters, settings['restarts'], comparison.seed) for rows in features.values()
        ]
    broadcast_object_list(scores)
    scored = dict(zip(features, scores))
    results = [{**c.record(), **scored[c.key], 'best': scored[c.key]['acc']} for c in comparison.candidates]
    best = max(results, key=lambda result: result['best'])
    found = f' in {clusters} clusters: best ACC {best["acc"]:.2f} % ({best["kind"]} {best["name"]})'
    settings['clusters'] = clusters
    return comparison.record('cluster', results, reader.all_unreadable(), 'k-means', found, **settings)

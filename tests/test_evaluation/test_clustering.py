"""Clustering scores against their definitions, counted pair by pair or tried out one by one."""

from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score

from poa_mm.evaluation.clustering import cluster_accuracy, cluster_scores


def brute_force(labels, clusters):
    """The best of all assignments of clusters to classes."""
    names = range(max(labels.max(), clusters.max()) + 1)
    return max(np.mean(np.array(order)[clusters] == labels) for order in permutations(names))


@pytest.mark.parametrize('classes, clusters', [(4, 4), (3, 5), (5, 3)])
def test_accuracy_is_that_of_the_best_assignment(classes, clusters):
    rng = np.random.default_rng(classes)
    for _ in range(5):
        labels, found = rng.integers(0, classes, 30), rng.integers(0, clusters, 30)
        assert cluster_accuracy(labels, found) == pytest.approx(brute_force(labels, found))


def test_scores_of_a_clustering():
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (80,), generator=rng)
    features = torch.randn(4, 6, generator=rng)[labels] + 0.6 * torch.randn(80, 6, generator=rng)
    scores = cluster_scores(features, labels, 4, seed=3)
    assert 60 < scores['acc'] < 100  # neither chance nor perfect: the scores are told apart
    assert scores == cluster_scores(features, labels, 4, seed=3)

    # The same clusters again, by scikit-learn's k-means.
    from sklearn.cluster import KMeans

    found = KMeans(4, n_init=10, random_state=3).fit(features.numpy()).labels_
    labels = labels.numpy()
    assert scores['acc'] == pytest.approx(100 * brute_force(labels, found), abs=1e-3)
    pairs = [(labels[i] == labels[j], found[i] == found[j]) for i, j in combinations(range(80), 2)]
    both, same_class, same_cluster = (sum(x) for x in ((a and b for a, b in pairs), *zip(*pairs)))
    assert scores['fmi'] == pytest.approx(100 * both / np.sqrt(float(same_class) * same_cluster), abs=1e-3)
    chance = same_class * same_cluster / len(pairs)
    assert scores['ari'] == pytest.approx(100 * (both - chance) / ((same_class + same_cluster) / 2 - chance), abs=1e-3)
    assert scores['nmi'] == pytest.approx(100 * normalized_mutual_info_score(labels, found), abs=1e-3)


def test_as_many_clusters_as_images_at_most():
    with pytest.raises(ValueError, match='from 2 to the number of images, 3, got 4'):
        cluster_scores(torch.randn(3, 2), torch.arange(3), 4)

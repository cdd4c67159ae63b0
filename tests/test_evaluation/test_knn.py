"""k-NN against scikit-learn, to the last vote; pieces, order and ties do not matter."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.neighbors import KNeighborsClassifier

from poa_mm.evaluation.knn import NeighbourSearch, check_ks, neighbour_accuracy, pack, paper_ks, unpack, vote

KS = (1, 10, 20, 100)


@pytest.fixture
def data():
    rng = torch.Generator().manual_seed(0)
    centres = torch.randn(7, 16, generator=rng)
    labels = torch.randint(7, (800,), generator=rng)
    features = centres[labels] + 2.0 * torch.randn(800, 16, generator=rng)
    return features[:600], labels[:600], features[600:], labels[600:]


def search(train, val, k, order=None, pieces=1, **chunks):
    found = NeighbourSearch(F.normalize(val, dim=-1), k, **chunks)
    order = torch.arange(len(train)) if order is None else order
    for part in order.chunk(pieces):
        found.update(F.normalize(train[part], dim=-1), part)
    return found.result()


def test_equals_scikit_learn_to_the_last_vote(data):
    train, train_labels, val, val_labels = data
    similarity, index = search(train, val, max(KS))
    predicted = vote(similarity, train_labels[index], KS)
    accuracy = neighbour_accuracy((similarity, index), train_labels, val_labels, KS, 0.07)
    train64, val64 = (F.normalize(x.double(), dim=-1).numpy() for x in (train, val))
    for k in KS:
        reference = KNeighborsClassifier(
            k, metric='cosine', algorithm='brute', weights=lambda distance: np.exp((1 - distance) / 0.07)
        ).fit(train64, train_labels.numpy())
        expected = reference.predict(val64)
        assert predicted[k].tolist() == expected.tolist()
        assert accuracy[k] == pytest.approx(100 * np.mean(expected == val_labels.numpy()))
    assert len(set(accuracy.values())) == len(KS)  # the data tell the ks apart


def test_temperature_counts(data):
    train, train_labels, val, _ = data
    similarity, index = search(train, val, 100)
    cold, hot = (vote(similarity, train_labels[index], [100], t)[100] for t in (1e-4, 1e4))
    assert cold.tolist() == train_labels[index[:, 0]].tolist()  # the nearest decides
    counts = F.one_hot(train_labels[index], 7).sum(1)
    assert torch.equal(counts[range(200), hot], counts.amax(1))  # a plain majority


def test_pieces_chunks_and_order_do_not_matter(data):
    train, val = data[0].sign(), data[2].sign()  # similarities are exact: many ties, and no rounding
    expected = (-(val @ train.T)).argsort(dim=1, stable=True)[:, :50]
    shuffled = torch.randperm(600, generator=torch.Generator().manual_seed(1))
    results = [
        search(train, val, 50),
        search(train, val, 50, pieces=13, query_chunk=7, gallery_chunk=90),
        search(train, val, 50, shuffled, pieces=5, gallery_chunk=1),
    ]
    for similarity, index in results:
        assert torch.equal(index, expected)
        assert torch.equal(similarity, (val @ train.T / 16).gather(1, expected))


def test_packing_keeps_order_and_value():
    values = torch.tensor([-1.0, -1e-20, 0.0, 3e-9, 0.5, 0.5, 1.0000001])
    index = torch.tensor([0, 2**32 - 1, 5, 7, 9, 8, 3])
    packed = pack(values, index)
    assert (packed.diff() > 0).all()
    unpacked, numbers = unpack(packed)
    assert torch.equal(unpacked, values) and torch.equal(numbers, index)


@pytest.mark.parametrize('ks', [(10, 601), (0, 10), ()])
def test_k_must_fit_the_gallery(ks):
    with pytest.raises(ValueError, match=r'k must be from 1 to the size of the gallery \(600 images\)'):
        check_ks(ks, 600, 0.07)


def test_paper_ks_fit_the_gallery():
    assert [paper_ks(n) for n in (200, 199, 10, 7)] == [[10, 20, 100, 200], [10, 20, 100], [10], [7]]


def test_wrong_values(data):
    train, _, val, _ = data
    for which in (train, val):
        broken = which.clone()
        broken[3, 0] = float('nan')
        pair = (broken, val) if which is train else (train, broken)
        with pytest.raises(ValueError, match='features of the network are not finite'):
            search(*pair, k=5)
    with pytest.raises(ValueError, match='temperature must be positive, got 0'):
        check_ks((5,), 600, 0)
    with pytest.raises(ValueError, match=r'larger than the gallery \(4 images\)'):
        search(train[:4], val, 5)

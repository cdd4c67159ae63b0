"""Statistics of a collapse against independent formulas."""

import math

import numpy as np
import pytest
import torch

from poa_mm.models.losses.statistics import entropy_share, nearest_cosine, rank, used_share


def test_entropy_is_a_share_of_its_maximum():
    assert entropy_share(torch.full((5, 8), 1 / 8)).item() == pytest.approx(1)
    assert entropy_share(torch.eye(8)).item() == 0  # 0 log 0 is 0
    targets = torch.randn(6, 8, generator=torch.Generator().manual_seed(0)).softmax(-1)
    expected = np.mean([-sum(p * math.log(p) for p in row) for row in targets.tolist()]) / math.log(8)
    assert entropy_share(targets).item() == pytest.approx(expected, rel=1e-5)


def test_used_prototypes():
    assert used_share(torch.eye(8)).item() == 1
    assert used_share(torch.eye(8)[[1, 1, 2, 2]]).item() == 0.5  # of at most 4
    assert used_share(torch.eye(3)[[0, 1, 0, 1, 0, 1]]).item() == pytest.approx(2 / 3)  # of at most 3


def test_nearest_neighbour():
    features = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    half = math.sqrt(0.5)
    torch.testing.assert_close(nearest_cosine(features), torch.tensor([1, 1, half, half]))


@pytest.mark.parametrize('true_rank', [1, 4])
def test_rank_of_equal_singular_values(true_rank):
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(16, true_rank, generator=generator))[0] for _ in range(2))
    assert rank(left @ right.T).item() == pytest.approx(true_rank, rel=1e-3)
    values = np.array([4.0, 2.0, 1.0]) / 7
    uneven = torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.0]))
    assert rank(uneven).item() == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-5)

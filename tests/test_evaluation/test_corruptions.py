"""Hidden patches and shuffled tiles, looked at pixel by pixel."""

import pytest
import torch

from poa_mm.evaluation.corruptions import divisors, occlude, orders, shuffle


@pytest.fixture
def images():
    return torch.arange(1, 2 * 3 * 12 * 12 + 1).float().view(2, 3, 12, 12)


def test_orders_depend_on_the_image_and_the_seed_alone():
    whole = orders(torch.arange(8), 9, seed=1)
    assert torch.equal(orders(torch.tensor([5, 2]), 9, seed=1), whole[[5, 2]])
    assert torch.equal(whole.sort(1).values, torch.arange(9).expand(8, 9))
    assert not torch.equal(whole[0], whole[1]) and not torch.equal(orders(torch.arange(8), 9, seed=2), whole)


@pytest.mark.parametrize('ratio', [0, 0.25, 0.5, 1])
def test_occlusion_hides_whole_patches(images, ratio):
    order = orders(torch.tensor([3, 4]), 16, seed=0)
    hidden = occlude(images, ratio, order)
    for image, before, chosen in zip(hidden, images, order):
        for patch in range(16):
            rows, columns = slice(patch // 4 * 3, patch // 4 * 3 + 3), slice(patch % 4 * 3, patch % 4 * 3 + 3)
            gone = patch in chosen[: int(16 * ratio)]
            assert torch.equal(
                image[:, rows, columns], 0 * before[:, rows, columns] if gone else before[:, rows, columns]
            )


def test_shuffling_moves_whole_tiles(images):
    order = orders(torch.tensor([3, 4]), 9, seed=0)
    shuffled = shuffle(images, order, (3, 3))
    for image, before, chosen in zip(shuffled, images, order):
        for tile, source in enumerate(chosen.tolist()):
            (row, column), (from_row, from_column) = divmod(tile, 3), divmod(source, 3)
            expected = before[:, 4 * from_row : 4 * from_row + 4, 4 * from_column : 4 * from_column + 4]
            assert torch.equal(image[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4], expected)
    assert torch.equal(shuffle(images, torch.arange(9).expand(2, 9), (3, 3)), images)


def test_tiles_need_not_be_square(images):
    order = orders(torch.tensor([3, 4]), 8, seed=0)
    shuffled = shuffle(images, order, (2, 4))
    for image, before, chosen in zip(shuffled, images, order):
        for tile, source in enumerate(chosen.tolist()):
            (row, column), (from_row, from_column) = divmod(tile, 4), divmod(source, 4)
            expected = before[:, 6 * from_row : 6 * from_row + 6, 3 * from_column : 3 * from_column + 3]
            assert torch.equal(image[:, 6 * row : 6 * row + 6, 3 * column : 3 * column + 3], expected)


def test_divisors():
    assert divisors(224) == [1, 2, 4, 7, 8, 14] and divisors(96)[-1] == 12

import numpy as np
import pytest

from poa_mm.datasets import batch_masks, block_mask


@pytest.mark.parametrize('grid', [(14, 14), (10, 6), (4, 4), (1, 9)])
def test_block_mask_never_exceeds_the_count(grid):
    rng = np.random.default_rng(0)
    patches = grid[0] * grid[1]
    for count in range(patches + 1):
        mask = block_mask(grid, count, rng)
        assert mask.shape == grid
        assert mask.dtype == bool
        assert mask.sum() <= count


def test_block_mask_reaches_the_count_nearly_always():
    rng = np.random.default_rng(0)
    missing = [60 - block_mask((14, 14), 60, rng).sum() for _ in range(300)]
    assert np.mean(missing) < 1
    assert np.mean(np.array(missing) == 0) > 0.8


def test_block_mask_is_made_of_blocks():
    """A masked patch has far more masked neighbours than in a random mask of as many patches."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        mask = block_mask((14, 14), 40, rng)
        both = (mask[1:] & mask[:-1]).sum() + (mask[:, 1:] & mask[:, :-1]).sum()
        shares.append(both / mask.sum())
    assert np.mean(shares) > 1.2  # a random mask: 2 * 40 / 196 * 13 / 14 = 0.38


def test_one_block_has_the_allowed_size_and_shape():
    """The count is 6, so the first block mostly fills it: 4 to 6 patches, sides from 0.3 to 1 / 0.3."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        mask = block_mask((14, 14), 6, rng, min_patches=4)
        assert 4 <= mask.sum() <= 6
    heights = [np.ptp(np.nonzero(block_mask((14, 14), 98, rng))[0]) for _ in range(50)]
    assert max(heights) == 13


def test_blocks_are_smaller_than_the_grid():
    """As in the authors' program: in a single row or column there is no block."""
    rng = np.random.default_rng(0)
    assert not block_mask((1, 12), 6, rng).any() and not block_mask((12, 1), 6, rng).any()
    for _ in range(50):  # a count of 4 allows one block of 2 x 2, and none over a whole row
        assert not block_mask((3, 3), 4, rng).all(axis=1).any()


def test_impossible_blocks_end():
    """A block of two patches never fits in one patch: the mask stays empty, and the loop ends."""
    mask = block_mask((1, 1), 1, np.random.default_rng(0))
    assert mask.sum() == 0


def test_batch_masks_spread_the_ratio_evenly():
    rng = np.random.default_rng(0)
    num_crops, low, high = 40, 0.1, 0.5
    for _ in range(5):
        masks = batch_masks(num_crops, (14, 14), (low, high), 0.5, rng)
        assert masks.shape == (num_crops, 196)
        counts = np.sort(masks.sum(1))
        assert (counts[:20] == 0).all()
        steps = np.linspace(low, high, 21)
        # One crop in each step of the spread; a few patches may be missing.
        assert (counts[20:] <= np.ceil(196 * steps[1:])).all()
        assert (counts[20:] >= 196 * steps[:-1] - 8).all()


def test_batch_masks_are_shuffled():
    rng = np.random.default_rng(0)
    masked = np.mean([batch_masks(8, (7, 7), (0.2, 0.4), 0.5, rng).any(1) for _ in range(400)], 0)
    assert (np.abs(masked - 0.5) < 0.1).all()


@pytest.mark.parametrize(('probability', 'expected'), [(0.0, 0), (0.25, 2), (1.0, 8)])
def test_batch_masks_probability(probability, expected):
    masks = batch_masks(8, (7, 7), (0.2, 0.4), probability, np.random.default_rng(0))
    assert masks.any(1).sum() == expected


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(grid=(0, 14)), 'grid'),
        (dict(ratio=(0.5, 0.1)), 'mask ratio'),
        (dict(ratio=(0.1, 1.5)), 'mask ratio'),
        (dict(mask_probability=2.0), 'mask_probability 2.0'),
        (dict(min_aspect=0.0), 'min_aspect 0.0'),
        (dict(min_patches=0), 'min_patches 0'),
    ],
)
def test_bad_values_are_told(change, message):
    values = dict(num_crops=4, grid=(14, 14), ratio=(0.1, 0.5), mask_probability=0.5)
    with pytest.raises(ValueError, match=message):
        batch_masks(**{**values, **change}, rng=np.random.default_rng(0))

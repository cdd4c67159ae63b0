import numpy as np
import pytest
import torch

from poa_mm.datasets import multi_crop_collate
from poa_mm.registry import FUNCTIONS


def samples(batch_size=3, num_local=4, position=0, seed=0):
    """Crops whose only value tells image and crop."""
    result = []
    for i in range(batch_size):
        values = torch.arange(2 + num_local, dtype=torch.uint8) + 10 * i
        result.append(
            dict(
                global_crops=values[:2, None, None, None].expand(-1, 3, 32, 32),
                local_crops=values[2:, None, None, None].expand(-1, 3, 16, 16),
                position=position + i,
                seed=seed,
            )
        )
    return result


def collate(**kwargs):
    return multi_crop_collate(samples(**kwargs), grid=(8, 8), mask_ratio=(0.1, 0.5))


def test_is_registered():
    assert FUNCTIONS.get('multi_crop_collate') is multi_crop_collate


def test_crops_are_ordered_crop_by_crop():
    batch = collate()
    assert batch['data_samples'] is None
    inputs = batch['inputs']
    assert inputs['global_crops'].shape == (6, 3, 32, 32)
    assert inputs['global_crops'].dtype == torch.uint8
    assert inputs['global_crops'][:, 0, 0, 0].tolist() == [0, 10, 20, 1, 11, 21]
    assert inputs['local_crops'].shape == (12, 3, 16, 16)
    assert inputs['local_crops'][:, 0, 0, 0].tolist() == [value + 10 * i for value in (2, 3, 4, 5) for i in range(3)]


def test_masks_indices_and_weights_agree():
    inputs = collate(batch_size=8)['inputs']
    masks, indices, weights = (inputs[f'mask{s}'] for s in ('s', '_indices', '_weights'))
    assert masks.shape == (16, 64)
    assert masks.dtype == torch.bool
    assert masks.any(1).sum() == 8
    expected = [i for i, masked in enumerate(masks.flatten().tolist()) if masked]
    assert indices.dtype == torch.int64
    assert indices.tolist() == expected
    assert weights.dtype == torch.float32
    counts = masks.sum(1)
    np.testing.assert_allclose(weights, [1 / counts[i // 64].item() for i in expected], rtol=1e-6)
    assert weights.sum().item() == pytest.approx(8)


def test_masks_follow_seed_and_position_alone():
    first = collate(position=40, seed=1)['inputs']['masks']
    np.random.seed(0)
    assert torch.equal(first, collate(position=40, seed=1)['inputs']['masks'])
    assert not torch.equal(first, collate(position=43, seed=1)['inputs']['masks'])
    assert not torch.equal(first, collate(position=40, seed=2)['inputs']['masks'])


def test_no_local_crops():
    assert collate(num_local=0)['inputs']['local_crops'].shape == (0, 3, 16, 16)

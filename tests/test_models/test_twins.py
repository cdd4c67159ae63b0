"""The fast versions of the training step and of evaluation return what the slow ones return, and the same gradients."""

from functools import partial

import pytest
import torch

from poa_mm.models.losses import fused
from tests.helpers import twins

CASES = [
    ('joined_crops', 'vit', 32, 2, 2, (24, 12)),
    ('joined_crops', 'vit', 32, 1, 1, (24, 12)),
    ('joined_crops', 'swin', 16, 1, 1, (64, 32)),
    ('drop_path', 3, 8, 0.2),
    ('drop_path', 2, 8, 0.35, True),
    ('layer_scale_in_weights', 9, 16, 16),
    ('layer_scale_in_weights', 9, 16, 8),
    ('scaled_slice', 9, 8, 16, False),
    ('scaled_slice', 9, 8, 16, True),
    ('sliced_qkv', 9, 8, 16),
    ('attention', 2, 2, 5, 8, 'bfloat16'),
    ('attention', 2, 1, 7, 4, 'bfloat16'),
    ('masked_patches', 3, 9, 4),
    ('weight_norm', 5, 8, 12),
    ('sinkhorn', 6, 20),
    ('sinkhorn', 6, 20, True),
    ('chunked_cross_entropy', 5, 20, 'float32'),
    ('chunked_cross_entropy', 5, 20, 'bfloat16'),
    ('chunked_cross_entropy', 5, 20, 'float32', True),
    ('chunked_cross_entropy', 6, 21, 'bfloat16', True),
    ('local_crops', 3, 2, 20),
    ('local_crops', 3, 2, 20, True),
    ('same_views', 5, 20),
    ('teacher_update', 2, 8),
    ('checkpointing', 32, 2, 2),
    ('in_turn', 'vit', 2, 32, (2, 3)),
    ('in_turn', 'swin', 2, 16, (2, 3)),
    ('in_turn', 'resnet', 2, 8, ([1], [1, 2], (1, 2), [1])),
]


@pytest.fixture(autouse=True)
def quick_compiler(monkeypatch):
    """The graphs of the whole are PyTorch's, what runs is eager: Inductor would take a minute."""
    monkeypatch.setattr(fused, '_compiled', {})
    monkeypatch.setattr(torch, 'compile', partial(torch.compile, backend='aot_eager'))


@pytest.mark.parametrize('case', CASES, ids=lambda case: '-'.join(map(str, case)))
def test_same_results_and_gradients(case):
    twins.check_equal(*case)


def test_kept_bytes():
    x, weight = torch.randn(10), torch.nn.Parameter(torch.randn(10))
    kept = twins.Differentiable(lambda: (x * weight).exp(), [x, weight]).kept_bytes()
    assert kept == 2 * 40  # x and the result of exp
    without, recomputed = (version.kept_bytes() for version in twins.checkpointing(32, 2, 2))
    assert recomputed < 0.5 * without

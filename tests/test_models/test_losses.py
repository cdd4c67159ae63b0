"""Each loss against a formula written out independently."""

import math

import pytest
import torch
import torch.nn.functional as F

from poa_mm.models.losses import (
    Centering,
    SinkhornKnopp,
    cross_entropy,
    cross_view_global,
    cross_view_local,
    koleo,
    masked_patch,
    same_view,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def distributions(n, k):
    return torch.randn(n, k).softmax(-1)


def test_cross_entropy_is_torch_s():
    p, s = distributions(7, 11), torch.randn(7, 11)
    torch.testing.assert_close(cross_entropy(p, s, 0.1), F.cross_entropy(s / 0.1, p, reduction='none'))


def test_cross_view_global_pairs_different_crops():
    t, s = distributions(6, 5), torch.randn(6, 5)
    expected = F.cross_entropy(s[3:] / 0.1, t[:3]) + F.cross_entropy(s[:3] / 0.1, t[3:])
    torch.testing.assert_close(cross_view_global(t, s, 0.1), expected)


@pytest.mark.parametrize('num_local', [1, 4])
def test_cross_view_local_is_the_double_sum(num_local):
    t, s = distributions(6, 5), torch.randn(3 * num_local, 5)
    expected = sum(
        F.cross_entropy(s[3 * i : 3 * i + 3] / 0.1, t[3 * a : 3 * a + 3])
        for a in range(2)
        for i in range(num_local)
    )
    torch.testing.assert_close(cross_view_local(t, s, 0.1), expected)


def test_same_view_does_not_teach_the_intact_student():
    intact, elastic = torch.randn(4, 9, requires_grad=True), torch.randn(4, 9, requires_grad=True)
    loss = same_view(intact, elastic, 0.1)
    torch.testing.assert_close(loss, F.cross_entropy(elastic / 0.1, (intact / 0.1).softmax(-1)))
    loss.backward()
    assert intact.grad is None and elastic.grad is not None


def test_masked_patch_weighs_crops_equally():
    counts = [2, 5, 1]
    t, s = distributions(8, 6), torch.randn(8, 6)
    weights = torch.cat([torch.full((n,), 1 / n) for n in counts])
    parts = zip(t.split(counts), s.split(counts))
    expected = sum(F.cross_entropy(b / 0.1, a) for a, b in parts) / 10
    torch.testing.assert_close(masked_patch(t, s, weights, 10, 0.1), expected)


def matrix_sinkhorn(logits, temp, num_iters):
    """The textbook form, in double precision."""
    q = (logits.double() / temp).exp().T
    q /= q.sum()
    k, b = q.shape
    for _ in range(num_iters):
        q /= q.sum(1, keepdim=True) * k
        q /= q.sum(0, keepdim=True) * b
    return (q * b).T.float()


@pytest.mark.parametrize('num_iters', [1, 3])
def test_sinkhorn_equals_the_matrix_form(num_iters):
    logits = [torch.randn(12, k).clamp(-1, 1) for k in (5, 40)]
    targets = SinkhornKnopp(num_iters)(logits, 0.04)
    for z, t in zip(logits, targets):
        torch.testing.assert_close(t, matrix_sinkhorn(z, 0.04, num_iters), rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(t.sum(1), torch.ones(12))


def test_sinkhorn_uses_prototypes_equally():
    logits = torch.randn(12, 5) + torch.arange(5)
    (targets,) = SinkhornKnopp(num_iters=50)([logits], 0.5)
    torch.testing.assert_close(targets.sum(0), torch.full((5,), 12 / 5), rtol=0.01, atol=0.01)
    assert logits.softmax(-1).sum(0).max() > 6  # without balancing they are not


def test_sinkhorn_survives_large_logits_and_leaves_its_input():
    logits = torch.randn(6, 8) * 20
    before = logits.clone()
    (targets,) = SinkhornKnopp()([logits], 0.5)
    assert targets.isfinite().all() and torch.equal(logits, before)
    with torch.autocast('cpu', torch.bfloat16):
        (again,) = SinkhornKnopp()([logits], 0.5)
    assert again.dtype == torch.float32 and torch.equal(again, targets)


def test_centering_by_hand():
    module = Centering((5,), momentum=0.9)
    z1, z2 = torch.randn(4, 5), torch.randn(6, 5)
    torch.testing.assert_close(module([z1], 0.1)[0], (z1 / 0.1).softmax(-1))
    center = 0.1 * z1.mean(0)
    torch.testing.assert_close(module.image_center_0, center)
    torch.testing.assert_close(module([z2], 0.1)[0], ((z2 - center) / 0.1).softmax(-1))
    assert torch.equal(module.patch_center_0, torch.zeros(5))
    before = module.image_center_0.clone()
    module([torch.full((4, 5), math.nan)], 0.1)
    assert torch.equal(module.image_center_0, before)
    module.eval()([z1], 0.1)
    assert torch.equal(module.image_center_0, before)


def test_koleo_by_hand():
    features = torch.randn(6, 4, requires_grad=True)
    z = features / features.norm(dim=1, keepdim=True)
    distances = torch.cdist(z, z) + torch.eye(6) * 10
    torch.testing.assert_close(
        koleo(features), -(distances.min(1).values + 1e-8).log().mean(), rtol=1e-4, atol=1e-5
    )
    koleo(features).backward()
    step = features.detach() - 0.05 * features.grad
    assert koleo(step) < koleo(features)  # neighbours move apart


def test_koleo_with_twins_is_finite():
    features = torch.ones(3, 4, requires_grad=True)
    loss = koleo(features)
    loss.backward()
    assert loss.isfinite() and features.grad.isfinite().all()


def test_errors():
    with pytest.raises(ValueError, match='at least 2 images'):
        koleo(torch.randn(1, 4))
    with pytest.raises(ValueError, match='num_iters must be at least 1'):
        SinkhornKnopp(0)

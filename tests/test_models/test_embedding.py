"""Distillation without prototypes: each part against a formula written out, and what keeps it from collapsing."""

import math

import pytest
import torch
import torch.nn.functional as F

from poa_mm.models.losses import coding_rate, embedding
from poa_mm.registry import MODELS
from tests.helpers.networks import VIT

B, V, D = 4, 3, 12


def units(n, seed=0):
    return F.normalize(torch.randn(n, D, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize('n', [5, 40])  # fewer and more images than dimensions
def test_coding_rate_is_half_the_log_determinant(n):
    z, eps = units(n).double(), 0.5
    covariance = sum(torch.outer(v, v) for v in z) / n
    expected = 0.5 * torch.logdet(torch.eye(D) + D / eps**2 * covariance)
    torch.testing.assert_close(coding_rate(z.float(), eps).double(), expected, rtol=1e-5, atol=0)


def test_coding_rate_of_equal_and_of_spread_features():
    same = coding_rate(units(1).expand(64, D))
    torch.testing.assert_close(same, torch.tensor(0.5 * math.log(1 + D / 0.25)))
    spread = coding_rate(torch.eye(D).repeat(4, 1))  # all directions alike: the largest rate of unit vectors
    torch.testing.assert_close(spread, torch.tensor(0.5 * D * math.log(1 + 1 / 0.25)))
    assert same < coding_rate(units(64)) < spread


def test_parts_are_sums_of_one_minus_cosine():
    targets, global_crops, local_crops = units(2 * B, 1), units(2 * B, 2), units(V * B, 3)

    def d(a, b):
        return 1 - float(a @ b)

    expected = sum(d(targets[i], global_crops[B + i]) + d(targets[B + i], global_crops[i]) for i in range(B)) / B
    assert float(embedding.cross_view_global(targets, global_crops, 0.1)) == pytest.approx(expected, abs=1e-5)
    pairs = [(t, v, i) for t in range(2) for v in range(V) for i in range(B)]
    expected = sum(d(targets[t * B + i], local_crops[v * B + i]) for t, v, i in pairs) / B
    assert float(embedding.cross_view_local(targets, local_crops, 0.1)) == pytest.approx(expected, abs=1e-5)
    weights = torch.tensor([0.5, 0.5, 1.0])
    expected = sum(float(w) * d(t, s) for w, t, s in zip(weights, targets, global_crops)) / 6
    assert float(embedding.masked_patch(targets[:3], global_crops[:3], weights, 6, 0.1)) == pytest.approx(
        expected, abs=1e-5
    )
    intact, elastic = units(5, 4).requires_grad_(), units(5, 5).requires_grad_()
    loss = embedding.same_view(intact, elastic, 0.1)
    assert float(loss) == pytest.approx(sum(d(a, b) for a, b in zip(intact, elastic)) / 5, abs=1e-5)
    loss.backward()
    assert intact.grad is None and elastic.grad is not None


def build(**weights):
    torch.manual_seed(0)
    head = dict(type='EmbeddingHead', hidden_dims=24, out_dims=D)
    return MODELS.build(
        dict(
            type='POA', _scope_='poa_mm', backbone=VIT, head=head, target=dict(type='Embeddings'), loss_weights=weights
        )
    )


def crops(seed=1):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(2 * B, 4, dtype=torch.bool)
    masks[:, 0] = True
    return torch.randn(2 * B, 3, 16, 16, generator=generator), torch.randn(V * B, 3, 8, 8, generator=generator), masks


def test_a_step_adds_the_rate_of_both_students():
    model = build(koleo=0.0, coding_rate=0.3)
    losses = model.compute_losses(*crops(), subnet='24x3', teacher_temp=0.04)
    with torch.no_grad():
        outputs = [model.head(model.backbone([crops()[0]], crops()[2], subnet)[0][0])[0] for subnet in (None, '24x3')]
    for name, z in zip(('intact', 'elastic'), outputs):
        torch.testing.assert_close(losses[f'{name}_coding_rate'], (coding_rate(z[:B]) + coding_rate(z[B:])) / 2)
    w, terms = {'intact': 0.8, 'elastic': 0.2}, ('global', 'local', 'patch')
    total = sum(w[name] * losses[f'{name}_{term}'].sum() for name in w for term in terms)
    total = total + 0.2 * losses['same_view'].sum()
    total = total - 0.15 * (losses['intact_coding_rate'] + losses['elastic_coding_rate'])
    torch.testing.assert_close(losses['loss'], total)
    assert not any('coding' in name for name in build().compute_losses(*crops(), teacher_temp=0.04))


def test_the_rate_keeps_outputs_apart():
    """A few steps on the same batch: without it all outputs become alike, with it they do not."""
    spread = {}
    for weight in (0.0, 0.3):
        model = build(koleo=0.0, coding_rate=weight)
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 0.01)
        for _ in range(40):
            optimizer.zero_grad()
            model.compute_losses(*crops(), subnet='24x3', teacher_temp=0.04)['loss'].backward()
            optimizer.step()
            for part in ('backbone', 'head'):
                getattr(model.teacher, part).load_state_dict(getattr(model, part).state_dict())
        with torch.no_grad():
            z = model.head(model.backbone([crops()[0]])[0][0])[0]
        spread[weight] = float((z @ z.T).mean())
    assert spread[0.0] > 0.9 and spread[0.3] < 0.6

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
    soft_cross_entropy,
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
        F.cross_entropy(s[3 * i : 3 * i + 3] / 0.1, t[3 * a : 3 * a + 3]) for a in range(2) for i in range(num_local)
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


LOSSES = {
    'global': (lambda t, s, _: cross_view_global(t, s, 0.1), 1),
    'local': (lambda t, s, _: cross_view_local(t, s, 0.1), 3),
    'same view': (lambda t, s, other: same_view(other, s, 0.1), 1),
    'patch': (lambda t, s, _: masked_patch(t, s, torch.linspace(0.1, 1, len(s)), 5, 0.1), 1),
}
PLAIN = {
    'global': lambda t, s, _: F.cross_entropy(s / 0.1, t.roll(len(t) // 2, 0)) * 2,
    'local': lambda t, s, _: sum(
        F.cross_entropy(c / 0.1, half) for c in s.split(len(t) // 2) for half in t.split(len(t) // 2)
    ),
    'same view': lambda t, s, other: F.cross_entropy(s / 0.1, (other / 0.1).softmax(-1)),
    'patch': lambda t, s, _: torch.linspace(0.1, 1, len(s)).to(s) @ F.cross_entropy(s / 0.1, t, reduction='none') / 5,
}


@pytest.mark.parametrize('chunk', [1, 100, 2**20])
@pytest.mark.parametrize('name', LOSSES)
def test_parts_make_up_the_whole(name, chunk, monkeypatch):
    """Value and gradient of every cross-entropy, worked on sample by sample, in parts and at once."""
    monkeypatch.setitem(soft_cross_entropy.CHUNK, 'cpu', chunk)
    loss, repeats = LOSSES[name]
    targets = torch.randn(10, 12).mul(3).softmax(-1)
    student, other = torch.randn(2, 5 * repeats if repeats > 1 else 10, 12)
    student.requires_grad_()
    found = loss(targets, student, other)
    (grad,) = torch.autograd.grad(3 * found, student)
    expected = PLAIN[name](targets.double(), student.double(), other.double())
    (expected_grad,) = torch.autograd.grad(3 * expected, student)
    torch.testing.assert_close(found, expected.float(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(grad, expected_grad, rtol=1e-5, atol=1e-6)


def test_half_precision_logits_are_compared_in_fp32():
    targets, student = distributions(6, 50), torch.randn(6, 50).bfloat16().requires_grad_()
    found = cross_entropy(targets, student, 0.1)
    expected = F.cross_entropy(student.float() / 0.1, targets, reduction='none')
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert student.grad.dtype == torch.bfloat16
    (expected_grad,) = torch.autograd.grad(expected.sum(), student)
    torch.testing.assert_close(student.grad, expected_grad)


def test_no_patch_at_all():
    student = torch.randn(0, 5, requires_grad=True)
    loss = masked_patch(torch.empty(0, 5), student, torch.empty(0), 4, 0.1)
    loss.backward()
    assert loss == 0 and student.grad.shape == (0, 5)


def saved_bytes(losses, targets, intact, elastic):
    """Memory that the backward pass of all cross-entropies of a step holds, beside the targets of the teacher."""
    storages = {}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        total = losses['same view'](None, elastic['global'], intact['global'].detach())
        total = total + losses['same view'](None, elastic['local'], intact['local'].detach())
        for student in (intact, elastic):
            total = total + sum(losses[name](targets[name], student[name], None) for name in student)
    total.backward()
    for tensor in targets.values():
        storages.pop(tensor.untyped_storage().data_ptr(), None)
    return sum(storages.values())


def test_memory():
    """Only the logits are kept, as they are, once; the plain formulas keep them in fp32 and several times."""
    num_prototypes = 256
    sizes = dict(patch=12, local=24)
    sizes['global'] = 8
    rows = sum(sizes.values())
    targets = {'global': distributions(8, num_prototypes), 'patch': distributions(12, num_prototypes)}
    targets['local'] = targets['global']

    def students():
        made = [{name: torch.randn(n, num_prototypes).bfloat16() for name, n in sizes.items()} for _ in range(2)]
        return [{name: logits.requires_grad_() for name, logits in student.items()} for student in made]

    ours = saved_bytes({name: loss for name, (loss, _) in LOSSES.items()}, targets, *students())
    logits = 2 * rows * num_prototypes * 2
    assert logits <= ours < 1.05 * logits
    in_fp32 = {
        name: lambda t, s, o, f=f: f(t, s.float(), None if o is None else o.float()) for name, f in PLAIN.items()
    }
    assert saved_bytes(in_fp32, targets, *students()) > 3 * ours


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
    targets = SinkhornKnopp(num_iters)({'image': logits}, 0.04)['image']
    for z, t in zip(logits, targets):
        torch.testing.assert_close(t, matrix_sinkhorn(z, 0.04, num_iters), rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(t.sum(1), torch.ones(12))


def test_sinkhorn_uses_prototypes_equally():
    logits = torch.randn(12, 5) + torch.arange(5)
    (targets,) = SinkhornKnopp(num_iters=50)({'image': [logits]}, 0.5)['image']
    torch.testing.assert_close(targets.sum(0), torch.full((5,), 12 / 5), rtol=0.01, atol=0.01)
    assert logits.softmax(-1).sum(0).max() > 6  # without balancing they are not


def test_sinkhorn_survives_a_prototype_far_from_all_samples():
    """Cosines from -1 to 1 at temperature 0.02: exponents differ by 100, exp(-100) is 0 in fp32."""
    logits = torch.rand(6, 5, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.9
    logits[:, 2] -= 1.9
    (targets,) = SinkhornKnopp()({'image': [logits]}, 0.02)['image']
    scaled = (logits.double() / 0.02).exp()
    for _ in range(3):
        scaled = scaled / scaled.sum(0)
        scaled = scaled / scaled.sum(1, keepdim=True)
    torch.testing.assert_close(targets.double(), scaled, rtol=1e-4, atol=1e-6)


def test_sinkhorn_survives_large_logits_and_leaves_its_input():
    logits = torch.randn(6, 8) * 20
    before = logits.clone()
    (targets,) = SinkhornKnopp()({'image': [logits]}, 0.5)['image']
    assert targets.isfinite().all() and torch.equal(logits, before)
    with torch.autocast('cpu', torch.bfloat16):
        (again,) = SinkhornKnopp()({'image': [logits]}, 0.5)['image']
    assert again.dtype == torch.float32 and torch.equal(again, targets)


def test_centering_by_hand():
    module = Centering((5,), momentum=0.9)

    def targets(logits):
        return module({'image': [logits]}, 0.1)['image'][0]

    z1, z2 = torch.randn(4, 5), torch.randn(6, 5)
    torch.testing.assert_close(targets(z1), (z1 / 0.1).softmax(-1))
    center = 0.1 * z1.mean(0)
    torch.testing.assert_close(module.image_center_0, center)
    torch.testing.assert_close(targets(z2), ((z2 - center) / 0.1).softmax(-1))
    assert torch.equal(module.patch_center_0, torch.zeros(5))
    before = module.image_center_0.clone()
    targets(torch.full((4, 5), math.nan))
    assert torch.equal(module.image_center_0, before)
    module.eval()
    targets(z1)
    assert torch.equal(module.image_center_0, before)


def test_koleo_by_hand():
    features = torch.randn(6, 4, requires_grad=True)
    z = features / features.norm(dim=1, keepdim=True)
    distances = torch.cdist(z, z) + torch.eye(6) * 10
    torch.testing.assert_close(koleo(features), -(distances.min(1).values + 1e-8).log().mean(), rtol=1e-4, atol=1e-5)
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

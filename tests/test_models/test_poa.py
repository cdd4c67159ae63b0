"""The whole step against ``reference.py``, and what the config switches do."""

import importlib.util
from pathlib import Path

import pytest
import torch

from poa_mm.models.poa import POA
from poa_mm.registry import MODELS

spec = importlib.util.spec_from_file_location('poa_reference', Path(__file__).parent / 'reference.py')
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)

SIZES = dict(img_size=32, patch_size=8, widths=(32, 64, 16), depths=(2, 4), head_dim=16)
B, V = 3, 3


def build(**kwargs) -> POA:
    torch.manual_seed(0)
    config = dict(
        type='POA',
        backbone=dict(type='ElasticVisionTransformer', **SIZES, layer_scale_init_value=0.5),
        head=dict(type='MultiPrototypeHead', num_prototypes=(40, 72), hidden_dims=48, bottleneck_dims=24),
    )
    model = MODELS.build({**config, **kwargs})
    for parameter in model.parameters():  # weights at which every term matters
        torch.nn.init.normal_(parameter, std=0.3) if parameter.ndim > 1 else parameter.data.uniform_(0.2, 1)
    return model


def batch():
    generator = torch.Generator().manual_seed(1)
    globals_ = torch.randn(2 * B, 3, 32, 32, generator=generator)
    locals_ = torch.randn(V * B, 3, 16, 16, generator=generator)
    masks = torch.rand(2 * B, 16, generator=generator) < 0.4
    masks[::2] = False
    masks[1, 0] = True
    return globals_, locals_, masks


def relative(a, b):
    return float((a - b).norm() / b.norm().clamp_min(1e-12))


def reference_step(model, subnet, temp, patch_loss):
    params = {k: v.detach().clone().requires_grad_() for k, v in model.named_parameters()}
    teacher = {k.removeprefix('teacher.'): v for k, v in params.items() if k.startswith('teacher.')}
    student = {k: v for k, v in params.items() if not k.startswith('teacher.')}
    globals_, locals_, masks = batch()

    def run(params, images, masks, width, depth):
        return reference.vit(
            params,
            images,
            masks,
            width,
            depth,
            patch=8,
            head_dim=16,
            max_width=64,
            max_depth=4,
            prefix='backbone.',
        )

    sizes = {'intact': (64, 4), 'elastic': (subnet.width, subnet.depth)}
    losses = reference.step(student, teacher, (globals_, locals_), masks if patch_loss else None, sizes, temp, 2, run)
    losses['loss'].backward()
    return losses, {k: v.grad for k, v in student.items()}


@pytest.mark.parametrize('patch_loss', [True, False])
def test_step_equals_the_reference_for_all_subnets(patch_loss):
    """Every component and the gradients of all parameters, to a relative 1e-4."""
    model = build()
    for number, subnet in enumerate(model.backbone.space):
        temp = 0.04 + 0.005 * (number % 5)
        model.zero_grad()
        losses = model.compute_losses(*batch(), subnet=subnet, teacher_temp=temp, patch_loss=patch_loss)
        losses['loss'].backward()
        expected, gradients = reference_step(model, subnet, temp, patch_loss)
        assert {name: value.shape for name, value in losses.items()} == {k: v.shape for k, v in expected.items()}
        for name in expected:
            assert relative(losses[name], expected[name]) < 1e-4, (str(subnet), name)
        for name, parameter in model.named_parameters():
            if name.startswith('teacher.'):
                assert parameter.grad is None
            elif gradients[name] is None:
                assert parameter.grad.count_nonzero() == 0 and name == 'backbone.mask_token'
            else:
                assert relative(parameter.grad, gradients[name]) < 1e-4, (str(subnet), name)


def test_deterministic_without_drop_path():
    model = build()
    runs = [model.compute_losses(*batch(), subnet='32x2', teacher_temp=0.05) for _ in range(2)]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def components(**kwargs):
    model = build(**kwargs)
    return model, model.compute_losses(*batch(), subnet='32x3', teacher_temp=0.05)


def test_variant_1_runs_the_teacher_through_the_subnet():
    v1, losses = components(students=('elastic',), teachers=('elastic',), intact_weight=0)
    v2, losses2 = components(students=('elastic',), teachers=('intact',), intact_weight=0)
    assert not any(name.startswith(('intact', 'same')) for name in (*losses, *losses2))
    assert not torch.equal(losses['elastic_global'], losses2['elastic_global'])
    full = [m.compute_losses(*batch(), subnet='intact', teacher_temp=0.05) for m in (v1, v2)]
    assert torch.equal(full[0]['loss'], full[1]['loss'])


def test_variant_2_learns_what_the_elastic_student_of_poa_learns():
    _, poa = components()
    _, losses = components(students=('elastic',), intact_weight=0)
    for name, value in losses.items():
        if name != 'loss':
            torch.testing.assert_close(value, poa[name])
    terms = [losses[f'elastic_{t}'].mean() for t in ('global', 'local', 'patch')]
    torch.testing.assert_close(losses['loss'], sum(terms) + 0.1 * losses['elastic_koleo'])


def test_variant_3_adds_an_elastic_teacher():
    _, poa = components()
    _, v3 = components(teachers=('intact', 'elastic'))
    _, v1 = components(students=('elastic',), teachers=('elastic',), intact_weight=0)
    extra = [n for n in v3 if n not in poa]
    assert set(extra) == {'distilled_global', 'distilled_local', 'distilled_patch'}
    for name in extra:
        torch.testing.assert_close(v3[name], v1[name.replace('distilled', 'elastic')])
    torch.testing.assert_close(v3['loss'], poa['loss'] + 0.2 * sum(v3[n].mean() for n in extra))


def test_single_size_run():
    model, losses = components(students=('intact',), intact_weight=1)
    _, poa = components()
    assert model.sampler is None
    terms = [poa[f'intact_{t}'].mean() for t in ('global', 'local', 'patch')]
    torch.testing.assert_close(losses['loss'], sum(terms) + 0.1 * poa['intact_koleo'])


@pytest.mark.parametrize(
    'weights, gone',
    [
        (dict(same_view=0), ['same_view']),
        (dict(cross_view=0), ['elastic_global', 'elastic_local', 'elastic_patch']),
        (dict(patch=0), ['elastic_patch', 'intact_patch']),
        (dict(koleo=0), ['intact_koleo', 'elastic_koleo']),
    ],
)
def test_loss_weights(weights, gone):
    _, full = components()
    _, losses = components(loss_weights=weights)

    def weighted(name):
        factor = 0.8 if name.startswith('intact') else 0.2
        if name.endswith('koleo'):
            return 0.05 * full[name]
        return factor * full[name].mean()

    torch.testing.assert_close(losses['loss'], full['loss'] - sum(weighted(name) for name in gone))


def test_two_elastic_students_are_the_mean_of_two_steps():
    """Each of their terms is that of a step with this sub-network alone, and so is the total but for the halves."""
    model = build(draws=dict(number=2))
    space = model.backbone.space
    small, large = space.parse('32x2'), space.parse('64x3')
    both = model.compute_losses(*batch(), subnet=[small, large], teacher_temp=0.05)
    singles = [build().compute_losses(*batch(), subnet=subnet, teacher_temp=0.05) for subnet in (small, large)]
    torch.testing.assert_close(both['loss'], (singles[0]['loss'] + singles[1]['loss']) / 2)
    for suffix, single in zip(('', '2'), singles):
        for term in ('global', 'local', 'patch', 'koleo'):
            torch.testing.assert_close(both[f'elastic{suffix}_{term}'], single[f'elastic_{term}'])
        torch.testing.assert_close(both[f'same_view{suffix}'], single['same_view'])
    with pytest.raises(ValueError, match='goes with one elastic student'):
        build(draws=dict(number=2), teachers=('intact', 'elastic'))


def test_weights_by_size_multiply_the_terms_of_the_elastic_student():
    model, losses = components(draws=dict(size_exponent=-0.5))
    _, poa = components()
    pool, intact = model.sampler.pool, 64**2 * 4
    factors = [(subnet.width**2 * subnet.depth / intact) ** -0.5 for subnet in pool]
    factor = (32**2 * 3 / intact) ** -0.5 / (sum(factors) / len(factors))
    terms = sum(poa[name].mean() for name in ('elastic_global', 'elastic_local', 'elastic_patch', 'same_view'))
    torch.testing.assert_close(losses['loss'], poa['loss'] + 0.2 * (factor - 1) * terms)


def test_draws_of_several_students():
    sandwich = build(draws=dict(number=3, smallest=True))
    alone = sandwich.sampler
    for step in range(20):
        smallest, *rest = sandwich.draws.subnets(alone, step, 2, 7)
        assert str(smallest) == '32x2' and rest == [alone(step, 7, 7), alone(step, 8, 7)]
    for draws in (dict(number=0), dict(smallest=True)):
        with pytest.raises(ValueError, match='the number of elastic students must be at least'):
            build(draws=draws)
    inputs = dict(zip(('global_crops', 'local_crops', 'masks'), batch()), step=4, rank=0, seed=7)
    subnets = sandwich.draws.subnets(alone, 4, 0, 7)
    expected = sandwich.compute_losses(*batch(), subnet=subnets, teacher_temp=0.04)
    assert torch.equal(sandwich.loss(inputs)['loss'], expected['loss'])


def test_no_scaling_changes_only_slices():
    def total(subnet, scaled):
        backbone = dict(type='ElasticVisionTransformer', **SIZES, layer_scale_init_value=0.5, scaled=scaled)
        head = dict(type='MultiPrototypeHead', num_prototypes=(40,), hidden_dims=48, bottleneck_dims=24, scaled=scaled)
        return build(backbone=backbone, head=head).compute_losses(*batch(), subnet=subnet, teacher_temp=0.05)

    assert torch.equal(total('64x3', True)['loss'], total('64x3', False)['loss'])
    assert not torch.allclose(total('32x3', True)['loss'], total('32x3', False)['loss'])


def test_separate_patch_head():
    patch_head = dict(type='MultiPrototypeHead', num_prototypes=(40, 72), hidden_dims=48, bottleneck_dims=24)
    model, losses = components(patch_head=patch_head)
    losses['loss'].backward()
    assert all(p.grad is not None for p in model.patch_head.parameters())
    before = losses['intact_patch'].detach()
    for parameter in model.patch_head.parameters():
        parameter.data.normal_(std=0.3)
    again = model.compute_losses(*batch(), subnet='32x3', teacher_temp=0.05)
    assert (again['intact_patch'] != before).all()
    assert torch.equal(again['intact_global'], losses['intact_global'])


def test_loss_draws_by_step_and_names_only_the_total_loss():
    model = build(schedule=dict(temp_start=0.04, temp_final=0.07, temp_steps=3, patch_loss_start=1))
    globals_, locals_, masks = batch()
    inputs = dict(global_crops=globals_, local_crops=locals_, masks=masks)
    with pytest.raises(ValueError, match='StepTrainLoop'):
        model.loss(inputs)
    totals = []
    for step, temp in [(0, 0.04), (1, 0.05), (0, 0.04), (5, 0.07)]:
        losses = model.loss(dict(inputs, step=step, rank=2, seed=7))
        subnet = model.sampler(step, 2, 7)
        expected = model.compute_losses(**inputs, subnet=subnet, teacher_temp=temp, patch_loss=step >= 1)
        torch.testing.assert_close(losses['loss'], expected['loss'], rtol=1e-6, atol=0)
        assert losses['teacher_temp'] == torch.tensor(temp) and ('intact_patch' in losses) == (step >= 1)
        totals.append(losses['loss'])
    assert torch.equal(totals[0], totals[2]) and not torch.equal(totals[0], totals[1])
    assert [name for name in losses if 'loss' in name] == ['loss']
    assert not any(v.requires_grad for k, v in losses.items() if k != 'loss')


def test_indices_and_weights_from_the_collate_give_the_same():
    model = build()
    globals_, locals_, masks = batch()
    indices = masks.flatten().nonzero().squeeze(1)
    weights = torch.cat([torch.full((int(m.sum()),), 1 / max(1, int(m.sum()))) for m in masks])
    given = model.compute_losses(
        globals_, locals_, masks, teacher_temp=0.05, mask_indices=indices, mask_weights=weights
    )
    assert torch.equal(given['loss'], model.compute_losses(globals_, locals_, masks, teacher_temp=0.05)['loss'])


def test_teacher_starts_as_the_student_and_stays_in_eval_mode():
    model = build()
    model.init_weights()
    for part in ('backbone', 'head'):
        for name, value in getattr(model, part).state_dict().items():
            assert torch.equal(value, getattr(model.teacher, part).state_dict()[name])
    model.train()
    assert not any(m.training for m in model.teacher.modules())
    assert not any(p.requires_grad for p in model.teacher.parameters())


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(students=('small',)), 'students must be one of'),
        (dict(teachers=('elastic',)), 'needs an intact teacher'),
        (dict(students=('intact',), teachers=('intact', 'elastic'), intact_weight=1), 'needs an elastic student'),
        (dict(students=('elastic',)), 'intact_weight must be 0'),
        (dict(intact_weight=1.5), 'between 0 and 1'),
        (dict(loss_weights=dict(mim=1)), r"unknown loss weights \['mim'\]"),
        (dict(sampler=dict(mode='shared'), draws=dict(number=2)), "'shared' draws one sub-network a step"),
        (dict(target=dict(type='Embeddings')), 'EmbeddingHead and the target Embeddings go together'),
        (dict(target=dict(type='Centering', num_prototypes=(3, 4))), r'head.num_prototypes must be \(3, 4\)'),
        (
            dict(patch_head=dict(type='MultiPrototypeHead', embed_dims=640, num_prototypes=(3, 4))),
            'patch_head.embed_dims must be 64',
        ),
    ],
)
def test_bad_combinations(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs)


def test_bad_batches():
    model = build()
    globals_, locals_, masks = batch()
    with pytest.raises(ValueError, match='at least 2 images'):
        model.compute_losses(globals_[:2], locals_[:3], masks[:2], teacher_temp=0.05)
    with pytest.raises(ValueError, match='need as many local crops each, at least 1, got 7'):
        model.compute_losses(globals_, locals_[:7], masks, teacher_temp=0.05)
    with pytest.raises(ValueError, match='at least 1, got 0'):
        model.compute_losses(globals_, locals_[:0], masks, teacher_temp=0.05)
    with pytest.raises(ValueError, match='one mask for every global crop'):
        model.compute_losses(globals_, locals_, None, teacher_temp=0.05)
    with pytest.raises(ValueError, match='do not fit 6 crops of 4 x 4 patches'):
        model.compute_losses(globals_, locals_, masks[:, :9], teacher_temp=0.05)
    with pytest.raises(ValueError, match='not a multiple of patch_size 8'):
        model.compute_losses(globals_[..., :30], locals_, masks, teacher_temp=0.05)

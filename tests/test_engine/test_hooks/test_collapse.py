"""Statistics of a collapse: logged without a wait for the device, and judged as in healthy and collapsed runs."""

import logging

import pytest
import torch
from mmengine.logging import MessageHub

from poa_mm.engine.hooks import CollapseHook
from poa_mm.engine.hooks.collapse import collapsed
from poa_mm.registry import MODELS
from tests.helpers.networks import VIT
from tests.helpers.no_sync import NoSync

NAMES = ('target_entropy', 'prototypes_used', 'equal_neighbours', 'feature_rank')


def model(target='SinkhornKnopp'):
    head = dict(type='MultiPrototypeHead', num_prototypes=(8, 16), hidden_dims=16, bottleneck_dims=8)
    centres = dict(num_prototypes=(8, 16)) if target == 'Centering' else {}
    torch.manual_seed(0)
    return MODELS.build(dict(type='POA', backbone=VIT, head=head, target=dict(type=target, **centres)))


class Run:
    """What the hook asks of a runner."""

    def __init__(self, model, steps=8):
        self.model, self.iter, self.max_iters, self.hooks = model, 0, steps, []
        self.message_hub, self.logger = MessageHub('run'), logging.getLogger('collapse')

    def step(self, hook, images):
        hook.before_train_iter(self, self.iter)
        with NoSync():
            torch.manual_seed(self.iter)
            self.model.compute_losses(images, images[:, :, :8, :8], teacher_temp=0.04, patch_loss=False)
        hook.after_train_iter(self, self.iter)
        self.iter += 1

    def series(self, name):
        hub = self.message_hub
        return hub.get_scalar(f'train/{name}').data[0].tolist() if f'train/{name}' in hub.log_scalars else []


@pytest.fixture
def images():
    return torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('target', ['SinkhornKnopp', 'Centering'])
def test_values_are_those_of_the_teacher(target, images, monkeypatch):
    run, hook = Run(model(target).train()), CollapseHook(interval=3)
    hook.before_train(run)
    hook.log_interval = 4
    for _ in range(8):
        run.step(hook, images)
    # Looks at steps 1, 3 and 6, handed over at 4 and 8.
    assert [len(run.series(name)) for name in NAMES] == [3, 3, 3, 2]
    with torch.no_grad():
        ((features, _),) = run.model.teacher.backbone([images])
    cosine = torch.nn.functional.cosine_similarity(features[:4, None], features[None, :4], dim=-1) - 2 * torch.eye(4)
    assert run.series('equal_neighbours')[0] == pytest.approx((cosine.amax(1) > 0.99).float().mean().item())
    assert all(0 < value <= 1.0001 for value in run.series('target_entropy') + run.series('prototypes_used'))
    assert 1 <= run.series('feature_rank')[0] <= 8
    hook.after_train(run)
    run.step(hook, images)
    assert len(run.series('target_entropy')) == 3  # no longer listens


def test_other_models_are_left_alone(images):
    run, hook = Run(torch.nn.Linear(2, 2)), CollapseHook()
    hook.before_train(run)
    hook.before_train_iter(run, 0)
    hook.after_train_iter(run, 0)
    hook.after_train(run)
    assert not run.message_hub.log_scalars


def test_warns_once_with_advice(images, caplog):
    run, hook = Run(model().train(), steps=100), CollapseHook(interval=1)
    hook.before_train(run)
    for step in range(8):
        if step == 3:  # one feature for all images, so one target
            for parameter in run.model.teacher.backbone.patch_embed.parameters():
                parameter.data.zero_()
        run.step(hook, images)
    warnings = [record.getMessage() for record in caplog.records]
    assert (
        len(warnings) == 1
        and 'the features have collapsed at step 6' in warnings[0]
        and 'loss_weights.koleo' in warnings[0]
    )


HEALTHY = [0.991, 0.989, 0.990, 0.992, 0.991, 0.98, 0.95, 0.90]


@pytest.mark.parametrize(
    'entropy, equal, kind',
    [
        (HEALTHY, 0.2, None),
        (HEALTHY, 1.0, 'features'),  # learned, although all images are equal
        (HEALTHY[:5], 1.0, None),  # nothing is learned yet
        ([0.991, 0.995, 0.9984, 0.9991, 0.9995], 0.0, 'prototypes'),
        ([0.991, 0.995, 0.9984, 0.9991, 0.9995], 1.0, 'features'),
        ([0.991, 0.995, 0.997, 0.9991, 0.9995], 0.0, None),  # not yet for long enough
        ([0.9991, 0.9990, 0.9992, 0.9991, 0.9990, 0.9991], 1.0, None),  # many prototypes at the start: as it was
        ([0.6, 0.5, 0.7, 0.95, 0.96, 0.97], 0.0, None),  # a higher temperature
        ([0.9999, 0.9999], 1.0, None),
    ],
)
def test_judgement(entropy, equal, kind):
    assert collapsed(entropy, [equal] * len(entropy)) == kind


def test_first_looks_are_kept_when_the_log_is_cut(images, caplog):
    run, hook = Run(model().train(), steps=100), CollapseHook(interval=1)
    hook.before_train(run)
    hook.log_interval = 1
    for step in range(8):
        run.step(hook, images)
        for buffer in run.message_hub.log_scalars.values():
            buffer.max_length = 4
            buffer._log_history, buffer._count_history = buffer._log_history[-4:], buffer._count_history[-4:]
        run.first = run.series('target_entropy')[0] if step == 0 else run.first
    assert len(run.series('target_entropy')) == 4
    kept = run.message_hub.runtime_info['first_and_lowest_entropy']
    assert kept[0] == run.first and kept[1] <= min(run.first, *run.series('target_entropy'))
    assert collapsed(HEALTHY[-4:], [1.0] * 4, [HEALTHY[0], min(HEALTHY)]) == 'features'
    assert collapsed(HEALTHY[-4:], [1.0] * 4, [0.9, 0.9]) is None


def test_every_recipe_of_pretraining_has_it():
    from poa_mm.config import load_config

    for name in ('poa_vitl', 'poa_demo', 'poa_resnet_small', 'single_vit_small'):
        assert load_config(name, {}, None, 'none').default_hooks.collapse == dict(type='CollapseHook', interval=10)

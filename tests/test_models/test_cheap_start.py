"""Smaller and fewer crops in the first steps, and the whole batch after them."""

import pytest
import torch

from poa_mm.errors import UserError
from poa_mm.models.cheap_start import CheapStart
from poa_mm.registry import MODELS
from tests.helpers.networks import VIT

B, V = 2, 3


@pytest.fixture
def batch():
    torch.manual_seed(0)
    masks = torch.zeros(2 * B, 16, dtype=torch.bool)
    masks[:, 3] = True
    return dict(global_crops=torch.randn(2 * B, 3, 32, 32), local_crops=torch.randn(V * B, 3, 16, 16), masks=masks)


def test_crops_of_the_first_steps(batch):
    start = CheapStart(steps=5, global_size=16, local_size=8, num_local=2)
    small = start(batch, 4)
    assert small['global_crops'].shape == (4, 3, 16, 16) and small['local_crops'].shape == (4, 3, 8, 8)
    assert small['masks'] is batch['masks'] and start(batch, 5) is batch
    # Of a smooth picture every pixel is about the mean of the four that it covers, except at the border.
    smooth = torch.linspace(0, 1, 32).expand(2 * B, 3, 32, 32)
    shrunk = start({**batch, 'global_crops': smooth}, 0)['global_crops']
    torch.testing.assert_close(shrunk[..., 1:-1], smooth.unfold(-1, 2, 2).mean(-1)[..., ::2, 1:-1], rtol=0, atol=1e-3)
    # The local crops that stay are the first of each image.
    fewer = CheapStart(steps=5, num_local=1)(batch, 0)
    assert (
        torch.equal(fewer['local_crops'], batch['local_crops'][:B]) and fewer['global_crops'] is batch['global_crops']
    )


def test_a_step_is_that_of_the_smaller_crops(batch):
    torch.manual_seed(0)
    head = dict(type='MultiPrototypeHead', num_prototypes=(8,), hidden_dims=16, bottleneck_dims=8)
    cfg = dict(type='POA', _scope_='poa_mm', backbone={**VIT, 'img_size': 32}, head=head)
    settings = dict(steps=3, global_size=16, local_size=8, num_local=2)
    model = MODELS.build({**cfg, 'cheap_start': settings, 'schedule': dict(patch_loss_start=3)})
    for step in (2, 3):
        seen = CheapStart(**settings)(batch, step)
        subnet = model.sampler(step, 0, 7)
        expected = model.compute_losses(**seen, subnet=subnet, teacher_temp=0.04, patch_loss=step >= 3)
        assert torch.equal(model.loss(dict(batch, step=step, rank=0, seed=7))['loss'], expected['loss'])
    with pytest.raises(UserError, match='patch_loss_start must be at least 3, got 2'):
        MODELS.build({**cfg, 'cheap_start': settings, 'schedule': dict(patch_loss_start=2)})


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(steps=0), 'steps of cheap_start must be at least 1, got 0'),
        (dict(steps=1, num_local=4), 'num_local of cheap_start is 4, but there are 3'),
        (dict(steps=1, local_size=24), 'cannot shrink crops of 16 px to 24 px'),
    ],
)
def test_mistakes(batch, settings, message):
    with pytest.raises(UserError, match=message):
        CheapStart(**settings)(batch, 0)

"""Reordered networks compute what they did, and their slices keep what is important."""

import pytest
import torch

from poa_mm.elastic.reordering import Member, Units, magnitude, permute_units
from poa_mm.extraction.importing import first_order_scores, magnitude_scores, reorder, reorder_head
from poa_mm.registry import MODELS
from tests.helpers.networks import RESNET, SWIN, SWIN_TWO_STAGES, VIT, VIT_REGISTERS

NETWORKS = {'vit': VIT, 'vit_registers': VIT_REGISTERS, 'swin': SWIN, 'swin_two_stages': SWIN_TWO_STAGES}


@pytest.fixture(params=NETWORKS)
def backbone(request, random_backbone):
    return random_backbone(NETWORKS[request.param])


def images_for(backbone, number=2):
    return torch.randn(number, 3, backbone.img_size, backbone.img_size)


@torch.no_grad()
def test_intact_output_stays(backbone):
    """Up to the order of the channels; the logits of heads on top stay too."""
    images = images_for(backbone)
    ((features, patches),) = backbone([images])
    width = backbone.feature_dims()
    head = MODELS.build(dict(type='poa_mm.MultiPrototypeHead', embed_dims=width, num_prototypes=(6, 9), hidden_dims=8))
    logits = head(features)
    before = {name: value.clone() for name, value in backbone.named_parameters()}

    scores, _ = magnitude_scores(backbone)
    orders = reorder(backbone, scores)
    assert orders['channels'].tolist() != list(range(width))
    ((reordered, reordered_patches),) = backbone([images])
    torch.testing.assert_close(reordered, features[:, orders['channels']], rtol=0, atol=1e-5)
    torch.testing.assert_close(reordered_patches, patches[..., orders['channels']], rtol=0, atol=1e-5)
    head.load_state_dict(reorder_head(head.state_dict(), orders['channels']))
    for new, old in zip(head(reordered), logits):
        torch.testing.assert_close(new, old, rtol=0, atol=1e-5)
    # Masked patches are replaced by the same token.
    masks = torch.ones(patches.shape[:2], dtype=torch.bool)
    masked = backbone.patch_features(images, masks=masks)
    for name, value in backbone.named_parameters():
        value.copy_(before[name])
    expected = backbone.patch_features(images, masks=masks)
    torch.testing.assert_close(masked, expected[..., orders['channels']], rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_most_important_come_first(backbone):
    scores, _ = magnitude_scores(backbone)
    reorder(backbone, scores)
    again, _ = magnitude_scores(backbone)
    assert set(again) == set(scores)
    for name, values in again.items():
        torch.testing.assert_close(values, scores[name].sort(descending=True).values)


@torch.no_grad()
@pytest.mark.parametrize('family', [VIT, SWIN])
def test_a_slice_keeps_the_heads_and_hidden_units_that_do_something(random_backbone, family):
    """Half of them write zeros. In a network of one width, half the MLP computes what the whole did."""
    backbone = random_backbone(family)
    layer = backbone.layers[1] if family is VIT else backbone.stages[0].blocks[1]
    attention = layer.attn if family is VIT else layer.attn.w_msa
    last = layer.ffn.layers[1]
    last.weight[:, torch.randperm(last.in_features)[: last.in_features // 2]] = 0
    layer.ffn.layers[0][0].weight[last.weight.abs().sum(0) == 0] = 0
    idle = slice(0, 8)  # the first head
    attention.proj.weight[:, idle] = 0
    for part in attention.qkv.weight.unflatten(0, (3, -1)):
        part[idle] = 0
    reorder(backbone, magnitude_scores(backbone)[0])
    half = last.in_features // 2
    assert not last.weight[:, half:].any() and last.weight[:, :half].any(0).all()
    assert not attention.proj.weight[:, -8:].any() and attention.proj.weight[:, :8].any()


def test_first_order_scores_are_squared_derivatives_of_the_features(random_backbone):
    """Against the Jacobian of the features by factors on every unit, built by autograd one feature at a time."""
    backbone = random_backbone({**VIT, 'depths': (1, 2), 'img_size': 8})
    images = images_for(backbone, 1)
    scores, blocks = first_order_scores(backbone, [images] * 100)

    ((features, patches),) = backbone([images])
    outputs = torch.cat([features.flatten(), patches.flatten() / patches.shape[1] ** 0.5])
    layer = backbone.layers[1]
    wanted = [layer.ffn.layers[1].weight, layer.attn.proj.weight, layer.attn.gamma1.weight, layer.ffn.gamma2.weight]
    hidden, heads, block = torch.zeros(128), torch.zeros(4), 0.0
    for output in outputs:
        mlp, proj, gamma1, gamma2 = torch.autograd.grad(output, wanted, retain_graph=True)
        hidden += (mlp * wanted[0]).sum(0).square()
        heads += (proj * wanted[1]).sum(0).unflatten(0, (4, 8)).sum(1).square()
        block += float((gamma1 * wanted[2]).sum() ** 2 + (gamma2 * wanted[3]).sum() ** 2)
    torch.testing.assert_close(scores['heads of layers.1'] / 100, heads.double(), rtol=0.4, atol=0)
    assert torch.corrcoef(torch.stack([scores['hidden units of layers.1'].float(), hidden.detach()]))[0, 1] > 0.9
    assert abs(blocks['layers.1.'] / 100 / block - 1) < 0.4
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in backbone.parameters())


def test_magnitude_of_parameters_of_different_size():
    """Every entry counts by its square over the mean square of its parameter."""
    weights = {'a': torch.tensor([[3.0, 0.0], [0.0, 4.0]]), 'b': torch.tensor([2e6, 0.0, 0.0, 0.0])}
    units = Units('u', 2, [Member('a', 0), Member('b', -1, groups=2)])
    assert magnitude(units, weights).tolist() == pytest.approx([4 * 9 / 25 + 4, 4 * 16 / 25])
    assert permute_units(weights['b'], Member('b', -1, groups=2), torch.tensor([1, 0])).tolist() == [0, 2e6, 0, 0]


def test_a_resnet_is_refused(random_backbone):
    with pytest.raises(ValueError, match='a ResNet cannot be reordered'):
        magnitude_scores(random_backbone(RESNET))

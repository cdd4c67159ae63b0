"""The Vision Transformer of real size against mmpretrain's, and what is its alone."""

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models import VisionTransformer
from mmpretrain.models.utils import resize_pos_embed

from poa_mm.models.backbones.drop_path import add_residual, draw_kept
from poa_mm.registry import MODELS
from tests.helpers.networks import VIT_REGISTERS


def elastic(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='ElasticVisionTransformer', layer_scale_init_value=0.1, **kwargs)).eval()


def static(backbone, subnet):
    config = backbone.static_config(subnet)
    config.pop('type')
    network = VisionTransformer(**config, out_type='raw')
    network.load_state_dict(backbone.extract(subnet), strict=True)
    network.eval()
    return network


@pytest.fixture(scope='module')
def vit_l():
    """ViT-L with 142 smaller ones inside; weights spread enough for slices to differ."""
    backbone = elastic()
    for name, parameter in backbone.named_parameters():
        if parameter.ndim == 1 and 'gamma' not in name:
            parameter.data.add_(torch.randn(len(parameter)) * 0.1)
    return backbone


@torch.no_grad()
@pytest.mark.parametrize('subnet', ['S', 'B', '448x13', '576x15', '704x24', '960x12', '1024x19'])
def test_extracted_from_vit_l(vit_l, subnet):
    """Class token and all patch tokens after the final norm, to 1e-5."""
    images = torch.randn(1, 3, 96, 128)
    ((cls, patches),) = vit_l([images], subnet=subnet)
    expected = static(vit_l, subnet)(images)[0]
    torch.testing.assert_close(torch.cat([cls[:, None], patches], 1), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_intact_vit_l_is_mmpretrain_s(vit_l):
    weights = {k: v for k, v in vit_l.state_dict().items() if k != 'mask_token'}
    config = vit_l.static_config()
    config.pop('type')
    network = VisionTransformer(**config, out_type='raw')
    network.load_state_dict(weights, strict=True)
    network.eval()
    for size in ((224, 224), (160, 256)):
        images = torch.randn(1, 3, *size)
        ((cls, patches),) = vit_l([images])
        expected = network(images)[0]
        torch.testing.assert_close(torch.cat([cls[:, None], patches], 1), expected, rtol=0, atol=1e-5)


def small(**kwargs):
    return elastic(img_size=32, patch_size=8, widths=(32, 64, 16), depths=(2, 4), head_dim=16, **kwargs)


@torch.no_grad()
def test_every_small_subnet_token_by_token():
    backbone = small()
    images = torch.randn(2, 3, 32, 32)
    for subnet in backbone.space:
        ((cls, patches),) = backbone([images], subnet=subnet)
        expected = static(backbone, subnet)(images)[0]
        torch.testing.assert_close(torch.cat([cls[:, None], patches], 1), expected, rtol=0, atol=1e-5)


def test_positions_are_resized_as_mmpretrain_does():
    backbone = small()
    resized = backbone._positions((3, 5), 48)
    expected = resize_pos_embed(backbone.pos_embed[..., :48], (4, 4), (3, 5))
    torch.testing.assert_close(resized, expected)


def test_masked_patches_are_replaced_before_positions():
    backbone = small()
    backbone.mask_token.data.normal_()
    images, masks = torch.randn(2, 3, 32, 32), torch.zeros(2, 16, dtype=torch.bool)
    masks[0, 3] = True
    masked, plain = backbone._embed(images, masks, 48), backbone._embed(images, None, 48)
    torch.testing.assert_close(masked[0, 4], backbone.mask_token[0, :48] + backbone.pos_embed[0, 4, :48])
    masked[0, 4] = plain[0, 4]
    assert torch.equal(masked, plain)


def test_start_values():
    backbone = elastic(img_size=64, widths=(384, 512, 64))
    assert abs(backbone.pos_embed.std() - 0.02) < 0.002
    assert backbone.cls_token.abs().max() < 1e-5
    assert (backbone.mask_token == 0).all()
    assert abs(backbone.layers[3].attn.qkv.weight.std() - 0.02) < 0.001
    assert all((p == 0).all() for n, p in backbone.named_parameters() if n.endswith('qkv.bias'))


def test_drop_path_computes_a_subset_and_keeps_the_mean():
    torch.manual_seed(0)
    shapes, calls = [(10, 2), (5, 3)], []
    x = torch.randn(35, 4)

    def branch(tokens, kept):
        calls.append(kept)
        return torch.ones_like(tokens)

    drawn = draw_kept(shapes, [0.3] * 2000, x.device)
    steps = torch.stack([add_residual(x, shapes, branch, kept) - x for kept in drawn])
    assert calls[0] == [(7, 2), (3, 3)]
    torch.testing.assert_close(steps.mean(0), torch.ones(35, 4), rtol=0, atol=0.12)
    first, second = steps[:, :20].unflatten(1, (10, 2)), steps[:, 20:].unflatten(1, (5, 3))
    for part, factor in ((first, 10 / 7), (second, 5 / 3)):
        dropped, kept = part.abs() < 1e-6, (part - factor).abs() < 1e-5
        assert (dropped | kept).all()
        assert (dropped.flatten(2).all(2) | kept.flatten(2).all(2)).all()  # a sample is kept or dropped whole
    assert torch.equal(add_residual(x, shapes, branch, None), x + 1)


def test_rates_of_drop_path_may_differ():
    rates = [0.0, 0.0, 0.3, 0.3, 0.6]
    drawn = draw_kept([(10, 2), (5, 3)], rates, torch.device('cpu'))
    assert drawn[:2] == [None, None]
    assert [kept.shapes for kept in drawn[2:]] == [[(7, 2), (3, 3)]] * 2 + [[(4, 2), (2, 3)]]
    assert drawn[4].scales == [2.5, 2.5]
    assert not torch.equal(drawn[2].rows, drawn[3].rows)
    for kept in drawn[2:]:
        assert torch.equal(kept.places[kept.rows], torch.arange(len(kept.rows)))
        assert (kept.places >= 0).sum() == len(kept.rows) == sum(n * length for n, length in kept.shapes)
    assert draw_kept([(10, 2)], [0.0, 0.0], torch.device('cpu')) == [None, None]


def test_no_drop_path_in_eval_mode():
    backbone = small(drop_path_rate=0.5)
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(backbone.image_features(images), backbone.image_features(images))
    backbone.train()
    assert not torch.equal(backbone.image_features(images), backbone.image_features(images))


def test_layer_depths_are_mmpretrain_s():
    backbone = small()
    network = static(backbone, 'intact')
    for name, _ in network.named_parameters():
        assert backbone.get_layer_depth(f'backbone.{name}', 'backbone.') == network.get_layer_depth(name)
    assert backbone.get_layer_depth('mask_token') == (0, 6)
    assert backbone.get_layer_depth('head.heads.0', 'backbone.') == (5, 6)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(img_size=100), 'img_size 100 is not a multiple of patch_size 16; the nearest are 96 and 112'),
        (dict(widths=(384, 1024, 96)), r'widths must be \(first, last, step\)'),
        (dict(widths=(96, 192, 32)), 'width 96 is not a multiple of head_dim 64'),
        (dict(depths=(6, 4)), 'depths must be'),
        (dict(ffn='glu'), r"ffn must be one of \['mlp', 'swiglu'\], got 'glu'"),
        (dict(ffn='swiglu'), 'width 448 is not a multiple of 3'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        elastic(**kwargs)


@torch.no_grad()
def test_registers_are_tokens_without_positions_that_no_output_holds(random_backbone):
    backbone = random_backbone(VIT_REGISTERS)
    images = torch.randn(2, 3, 28, 42)
    tokens = backbone._embed(images, None, 24)
    assert tokens.shape == (2, 1 + 3 + 6, 24)
    assert torch.equal(tokens[1, 1:4], backbone.register_tokens[0, :, :24])
    ((_, patches),) = backbone([images], subnet='24x3')
    assert patches.shape == (2, 6, 24)
    maps = MODELS.build({**backbone.static_config('24x3'), 'out_type': 'featmap'})
    maps.load_state_dict(backbone.extract('24x3'), strict=True)
    maps.eval()
    torch.testing.assert_close(maps(images)[0].flatten(2).mT, patches, rtol=0, atol=1e-5)
    assert maps.get_layer_depth('backbone.register_tokens', 'backbone.') == (0, 5)


@torch.no_grad()
def test_a_slice_of_swiglu_takes_the_first_units_of_gate_and_value(random_backbone):
    backbone = random_backbone(VIT_REGISTERS)
    ffn, x = backbone.layers[0].ffn, torch.randn(5, 24)
    gate, value = ffn.w12.weight.unflatten(0, (2, 128))[:, :64, :24]
    gate_bias, value_bias = ffn.w12.bias.unflatten(0, (2, 128))[:, :64]
    hidden = F.silu(2 * x @ gate.T + gate_bias) * (2 * x @ value.T + value_bias)
    expected = 2 * hidden @ ffn.w3.weight[:24, :64].T + ffn.w3.bias[:24]
    torch.testing.assert_close(ffn(x), expected * ffn.gamma2.weight[:24])

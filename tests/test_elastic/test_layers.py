"""Every elastic layer against the plain layer that holds its slice."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from poa_mm.elastic import (
    ElasticConv2d,
    ElasticGroupNorm,
    ElasticLayerNorm,
    ElasticLayerScale,
    ElasticLinear,
    collect_slice_rules,
    slice_tensor,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def close(a, b):
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def owned(grad):
    """Where a gradient landed."""
    return grad != 0


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('elastic_out', [True, False])
@pytest.mark.parametrize('scaled', [True, False])
def test_linear(bias, elastic_out, scaled):
    layer = ElasticLinear(12, 24, bias=bias, elastic_out=elastic_out, scaled=scaled)
    x = torch.randn(5, 7, 8)
    n, scale = 16 if elastic_out else 24, 1.5 if scaled else 1.0
    expected = scale * (x @ layer.weight[:n, :8].T) + (layer.bias[:n] if bias else 0)
    out = layer(x)
    close(out, expected)
    out.square().sum().backward()
    assert owned(layer.weight.grad)[:n, :8].all()
    assert not owned(layer.weight.grad)[n:].any() and not owned(layer.weight.grad)[:, 8:].any()
    if bias:
        assert owned(layer.bias.grad)[:n].all() and not owned(layer.bias.grad)[n:].any()


def test_qkv_slices_each_group():
    layer = ElasticLinear(8, 24, groups=3)
    x = torch.randn(5, 4)
    q, k, v = layer.weight.view(3, 8, 8)
    weight = torch.cat([w[:4, :4] for w in (q, k, v)])
    bias = torch.cat([b[:4] for b in layer.bias.view(3, 8)])
    close(layer(x), F.linear(x, 2 * weight, bias))


@pytest.mark.parametrize('make', [lambda: ElasticLinear(8, 16), lambda: ElasticLinear(8, 24, groups=3)])
def test_full_size_is_the_plain_layer(make):
    layer = make()
    x = torch.randn(3, 8)
    assert torch.equal(layer(x), F.linear(x, layer.weight, layer.bias))


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('size', [8, 12])
def test_gain(bias, size):
    layer, x, gain = ElasticLinear(12, 24, bias=bias), torch.randn(5, size), torch.rand(24)
    close(layer(x, gain), layer(x) * gain[: 2 * size])


def test_gain_in_fp16_is_not_in_the_weight():
    """A weight of 0.02 times a gain of 1e-6 would be 0."""
    layer, x = ElasticLinear(8, 8, bias=False), torch.ones(2, 8).half()
    torch.nn.init.constant_(layer.weight, 0.02)
    with torch.autocast('cpu', torch.float16):
        out = layer(x, torch.full((8,), 1e-6))
    torch.testing.assert_close(out, torch.full((2, 8), 1.6e-7), rtol=1e-3, atol=0)


def test_linear_in_bf16():
    layer, x = ElasticLinear(64, 64), torch.randn(9, 32)
    with torch.autocast('cpu', torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), layer(x), atol=3e-2, rtol=3e-2)


def test_conv_with_elastic_output():
    layer = ElasticConv2d(3, 16, 4, stride=4, elastic_in=False)
    x = torch.randn(2, 3, 8, 8)
    close(layer(x, 12), F.conv2d(x, layer.weight[:12], layer.bias[:12], 4))
    assert torch.equal(layer(x), F.conv2d(x, layer.weight, layer.bias, 4))


@pytest.mark.parametrize('elastic_out, n', [(True, 4), (False, 8)])
def test_conv_with_elastic_input(elastic_out, n):
    layer = ElasticConv2d(8, 8, 3, padding=1, bias=False, elastic_out=elastic_out)
    x = torch.randn(2, 4, 6, 6)
    out = layer(x)
    close(out, F.conv2d(x, 2 * layer.weight[:n, :4], padding=1))
    out.square().sum().backward()
    assert owned(layer.weight.grad)[:n, :4].all() and not owned(layer.weight.grad)[:, 4:].any()


def test_norms_and_scale():
    layer_norm, group_norm, scale = ElasticLayerNorm(12), ElasticGroupNorm(4, 16), ElasticLayerScale(12, 0.5)
    for layer in (layer_norm, group_norm, scale):
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
    x = torch.randn(5, 8)
    plain = nn.LayerNorm(8)
    plain.load_state_dict({k: v[:8] for k, v in layer_norm.state_dict().items()})
    close(layer_norm(x), plain(x))
    close(scale(x), x * scale.weight[:8])
    x = torch.randn(2, 8, 3, 3)
    plain = nn.GroupNorm(4, 8)
    plain.load_state_dict({k: v[:8] for k, v in group_norm.state_dict().items()})
    close(group_norm(x), plain(x))


def test_cut_is_a_view_and_rules_carry_full_names():
    net = nn.Sequential(ElasticLinear(8, 8), ElasticLayerNorm(8))
    rules = collect_slice_rules(net)
    assert set(rules) == {'0.weight', '0.bias', '1.weight', '1.bias'}
    weight = net[0].weight
    assert slice_tensor(weight, rules['0.weight'], 4, 8).data_ptr() == weight.data_ptr()
    assert slice_tensor(weight, rules['0.weight'], 8, 8) is weight

"""Attention probabilities against an explicit computation, intact and sliced."""

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS as STATIC

from poa_mm.visualization.attention import class_attention, draw_attention, draw_heads, last_attention
from poa_mm.visualization.networks import ShownNetwork
from tests.helpers import networks

VIT = {**networks.VIT, 'img_size': 32, 'depths': (1, 4)}


def explicit(backbone, images, subnet):
    """The last block of the extracted mmpretrain network: norm, qkv, softmax, written out."""
    static = STATIC.build(backbone.static_config(subnet))
    static.eval()  # returns nothing in mmpretrain
    static.load_state_dict(backbone.extract(subnet))
    inputs = []
    block = static.layers[-1]
    block.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    static(images)
    x = block.ln1(inputs[0])
    n, length, width = x.shape
    weight, bias = block.attn.qkv.weight, block.attn.qkv.bias
    q = F.linear(x, weight[:width], bias[:width]).view(n, length, -1, 8).transpose(1, 2)
    k = F.linear(x, weight[width : 2 * width], bias[width : 2 * width]).view(n, length, -1, 8).transpose(1, 2)
    scores = (q @ k.transpose(2, 3) / 8**0.5).exp()
    return scores / scores.sum(-1, keepdim=True)


@pytest.mark.parametrize('subnet', [None, '32x4', '24x3', '16x1'])
@pytest.mark.parametrize('size', [(32, 32), (48, 64)])
@torch.no_grad()
def test_probabilities_are_those_of_the_extracted_network(random_backbone, subnet, size):
    backbone = random_backbone(VIT)
    images = torch.randn(2, 3, *size)
    found = last_attention(backbone, images, subnet)
    width = backbone.resolve(subnet).width
    patches = size[0] * size[1] // 64
    assert found.shape == (2, width // 8, 1 + patches, 1 + patches)
    torch.testing.assert_close(found, explicit(backbone, images, subnet), rtol=1e-4, atol=1e-6)
    assert not any(module._forward_hooks for module in backbone.modules())


def test_other_families_have_no_class_token(random_backbone):
    with pytest.raises(ValueError, match='only a Vision Transformer has a class token, ElasticResNet'):
        last_attention(random_backbone(networks.RESNET), torch.zeros(1, 3, 32, 32))


def test_pictures_hold_the_maps(random_backbone):
    backbone = random_backbone(VIT)
    mean, std = [120.0, 110.0, 100.0], [50.0, 60.0, 70.0]
    network = ShownNetwork('x', backbone, backbone.space.parse('24x2'), 48, mean, std)
    pixels = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
    maps = class_attention(network, pixels)
    assert maps.shape == (2, 3, 6, 6)
    images = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        expected = explicit(backbone, images, '24x2')[:, :, 0, 1:].reshape(2, 3, 6, 6)
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-6)
    axes = draw_heads(pixels, maps).axes
    assert len(axes) == 2 * 4
    assert (axes[2].images[0].get_array() == maps[0, 1].numpy()).all()
    axes = draw_attention([('a', pixels, maps), ('b', pixels, maps)]).axes
    assert [one.get_title() for one in axes[:3]] == ['', 'a', 'b']
    assert (axes[4].images[0].get_array() == maps[1].mean(0).numpy()).all()

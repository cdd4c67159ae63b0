"""Elastic and static ResNet, and the ResNets of mmpretrain and mmseg."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from mmpretrain.models.backbones import ResNet
from mmseg.models.backbones import ResNet as MMSegResNet
from mmseg.registry import MODELS as MMSEG
from torch import nn

from poa_mm.elastic import SubnetSampler, collect_slice_rules
from poa_mm.models import ElasticResNet, StaticResNet
from poa_mm.models.backbones.resnet import ElasticBottleneck, has_channels_last, norm_relu
from poa_mm.registry import MODELS as POA_MM
from tests.helpers.networks import RESNET

GN = dict(type='GN', num_groups=32)


@pytest.fixture(scope='module')
def real():
    return ElasticResNet().eval()


def test_space_of_the_paper(real):
    space = real.space
    assert len(space) == 465
    assert {name: str(subnet) for name, subnet in space.named.items()} == {
        'R50': '64x3-4-6-3',
        'R101': '64x3-4-23-3',
        'R152': '64x3-8-36-3',
    }
    assert str(space.intact) == '128x3-8-36-3' and space.smallest == space.named['R50']
    assert {real.feature_dims(subnet) for subnet in space} == {2048}


def test_start(real):
    """PyTorch's defaults, as in the authors' program: uniform convolutions, and no norm starts at zero."""
    block = real.layer3[5]
    for conv in (real.conv1, block.conv1, block.conv2, block.conv3):
        bound = conv.weight[0].numel() ** -0.5
        assert conv.weight.abs().max().item() <= bound
        assert conv.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert block.gn3.weight.eq(1).all() and block.gn3.bias.eq(0).all()


def test_sampler_draws_every_copy_once_a_pass(real):
    sampler = SubnetSampler(real.space, width_strength=1, depth_strength=2)
    depths = [(3, m, n, 3) for m in range(4, 9) for n in range(6, 37)]
    depths.sort(key=lambda depth: depth[1] + depth[2])
    assert len(depths) == 155
    expected = Counter()
    for width in (64, 96, 128):
        for rank, depth in enumerate(depths):
            expected[width, depth] = round(2 - rank / 154)
    del expected[128, (3, 8, 36, 3)]  # the intact network
    assert sum(expected.values()) == 698
    drawn = [sampler(step) for step in range(698)]
    assert Counter((subnet.width, subnet.depth) for subnet in drawn) == expected


def test_only_products_with_sliced_inputs_are_scaled(real):
    scaled = {name.split('.', 2)[-1] for name, rule in collect_slice_rules(real).items() if rule.scaled}
    assert scaled == {'conv2.weight', 'conv3.weight'}


@torch.no_grad()
@pytest.mark.parametrize('height, width', [(224, 224), (50, 71)])
def test_equals_the_static_network_at_any_size(random_backbone, height, width):
    model = random_backbone(RESNET)
    for subnet in ['intact', '12x1-2-2-2']:
        network = MODELS.build(model.static_config(subnet))
        network.load_state_dict(model.extract(subnet), strict=True)
        network.eval()
        images = torch.randn(2, 3, height, width)
        last = network(images)[-1]
        torch.testing.assert_close(model.image_features(images, subnet), last.mean((2, 3)), rtol=1e-5, atol=1e-5)
        cells = torch.nn.functional.interpolate(last, scale_factor=2).flatten(2).transpose(1, 2)
        torch.testing.assert_close(model.patch_features(images, subnet), cells, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    'subnet, expected',
    [
        ('R50', dict(type='mmpretrain.ResNet', depth=50, base_channels=64, expansion=4)),
        ('R101', dict(type='mmpretrain.ResNet', depth=101, base_channels=64, expansion=4)),
        ('R152', dict(type='mmpretrain.ResNet', depth=152, base_channels=64, expansion=4)),
        ('intact', dict(type='mmpretrain.ResNet', depth=152, base_channels=128, expansion=2)),
        ('96x3-8-36-3', dict(type='poa_mm.StaticResNet', stage_blocks=[3, 8, 36, 3], mid_channels=96)),
        ('64x3-5-6-3', dict(type='poa_mm.StaticResNet', stage_blocks=[3, 5, 6, 3], mid_channels=64)),
    ],
)
def test_mmpretrains_resnet_where_it_can_say_the_size(real, subnet, expected):
    config = real.static_config(subnet)
    assert expected.items() <= config.items()


@torch.no_grad()
@pytest.mark.parametrize('name, depth', [('R50', 50), ('R101', 101), ('R152', 152)])
def test_mmseg_loads_it_strictly(real, name, depth):
    weights = real.extract(name)
    theirs = MMSegResNet(depth, norm_cfg=GN)
    theirs.load_state_dict(weights, strict=True)
    ours = MODELS.build(real.static_config(name))
    ours.load_state_dict(weights, strict=True)
    for network in (theirs, ours):
        network.eval()
    images = torch.randn(1, 3, 64, 100)
    for a, b in zip(theirs(images), ours(images), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    expected = a.mean((2, 3))
    torch.testing.assert_close(real.image_features(images, name), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_static_resnet_is_mmpretrains_where_both_exist():
    ours, theirs = StaticResNet([3, 4, 6, 3], 128), ResNet(50, base_channels=128, expansion=2, norm_cfg=GN)
    assert [(n, p.shape) for n, p in ours.named_parameters()] == [(n, p.shape) for n, p in theirs.named_parameters()]
    theirs.load_state_dict(ours.state_dict(), strict=True)
    images = torch.randn(1, 3, 40, 64)
    assert ours(images)[-1].equal(theirs(images)[-1])


def test_static_resnet_in_an_mmseg_config():
    backbone = MMSEG.build(
        dict(type='poa_mm.StaticResNet', stage_blocks=[1, 2, 1, 1], mid_channels=96, frozen_stages=1)
    )
    backbone.init_weights()
    assert [tuple(m.shape) for m in backbone(torch.randn(1, 3, 64, 96))] == [
        (1, 256, 16, 24),
        (1, 512, 8, 12),
        (1, 1024, 4, 6),
        (1, 2048, 2, 3),
    ]
    assert backbone.layer2[0].conv2.weight.shape == (192, 192, 3, 3)
    assert {n.split('.')[0] for n, p in backbone.named_parameters() if not p.requires_grad} == {
        'conv1',
        'gn1',
        'layer1',
    }
    assert backbone.get_layer_depth('backbone.layer2.1.conv1.weight', 'backbone.') == (3, 6)


def test_layer_depths(real):
    expected = {
        'mask_token': 0,
        'conv1.weight': 0,
        'gn1.bias': 0,
        'layer1.0.downsample.0.weight': 1,
        'layer1.2.gn3.weight': 3,
        'layer2.0.conv1.weight': 4,
        'layer3.35.conv2.weight': 47,
        'layer4.2.conv3.weight': 50,
    }
    parameters = dict(real.named_parameters())
    for name, layer in expected.items():
        assert name in parameters
        assert real.get_layer_depth(name) == (layer, 51), name
    assert real.get_layer_depth('head.weight', 'backbone.') == (50, 51)


@torch.no_grad()
def test_mask_token_stands_where_the_mask_is(random_backbone):
    model = random_backbone(RESNET)
    stem = []
    model.layer1.get_submodule('0').register_forward_pre_hook(lambda _, args: stem.append(args[0]))
    images, masks = torch.randn(2, 3, 64, 96), torch.rand(2, 4 * 6) < 0.5
    model([images])
    model([images], masks)
    plain, masked = (x.unflatten(2, (4, 4)).unflatten(4, (6, 4)) for x in stem)
    for n in range(2):
        for cell, hidden in enumerate(masks[n].tolist()):
            patch, before = (x[n, :, cell // 6, :, cell % 6] for x in (masked, plain))
            assert patch.equal(model.mask_token[0, :, None, None].expand(8, 4, 4) if hidden else before)


@pytest.mark.parametrize('shape, cells', [((64, 64), 15), ((80, 80), 25)])
def test_masks_that_do_not_fit_are_refused(shape, cells):
    with pytest.raises(ValueError, match='multiples of 32'):
        POA_MM.build(RESNET)([torch.randn(1, 3, *shape)], torch.zeros(1, cells, dtype=torch.bool))


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(widths=(48, 64, 16)), '48 channels are not a multiple of num_groups 32'),
        (dict(stem_channels=40), '40 channels'),
        (dict(depths=((3, 3), (8, 4))), 'depths must be'),
        (dict(mask_stride=64), 'must be a multiple of 4 and divide 32, got 64'),
    ],
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        ElasticResNet(**wrong)


def test_norm_and_relu_round_once():
    """The same numbers and gradients as ReLU in fp32 and rounding in the next convolution, in half the memory."""
    norm, x = nn.GroupNorm(4, 16), torch.randn(3, 16, 5, 5).bfloat16()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    found = []
    for version in (lambda x: F.relu(norm(x.float())).bfloat16(), lambda x: norm_relu(lambda x: norm(x.float()), x)):
        leaf = x.clone().requires_grad_()
        norm.zero_grad()
        out = version(leaf)
        out.backward(torch.linspace(-1, 1, out.numel()).view_as(out).bfloat16())
        found.append([out, leaf.grad, norm.weight.grad, norm.bias.grad])
    assert all(map(torch.equal, *found))


def test_channels_last_stay_so():
    block, x = ElasticBottleneck(16, 8, 32, 2, 4, True), torch.randn(2, 16, 8, 8)
    out, last = block(x, 4), block(x.contiguous(memory_format=torch.channels_last), 4)
    assert not has_channels_last(out) and has_channels_last(last)
    torch.testing.assert_close(out, last, rtol=1e-4, atol=1e-5)

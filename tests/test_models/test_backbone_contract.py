"""What every elastic backbone promises, for all families."""

import copy

import pytest
import torch
from mmengine.registry import MODELS

import examples.elastic_convnext  # noqa: F401 (registers it)
from poa_mm.models.backbones.shared_blocks import SharedBlocks
from tests.helpers.networks import CONVNEXT, RESNET, SWIN, SWIN_TWO_STAGES, VIT, VIT_REGISTERS

SMALL = {
    'vit': {**VIT, 'img_size': 64, 'patch_size': 16},
    'vit_registers': {**VIT_REGISTERS, 'img_size': 64, 'patch_size': 16},
    'swin': SWIN,
    'swin_two_stages': SWIN_TWO_STAGES,
    'swin_plain_small_maps': {**SWIN, 'window_size': 2, 'pad_small_map': False},
    'resnet': RESNET,
    'convnext': CONVNEXT,
}
REAL = {
    'swin': (dict(type='ElasticSwinTransformer'), ['T', 'S', 'B', '96x7', '112x6', '112x11', '128x6', '128x17']),
    'resnet': (
        dict(type='ElasticResNet'),
        ['R50', 'R101', 'R152', '64x3-5-6-3', '96x3-4-6-3', '96x3-8-20-3', '128x3-4-6-3', '128x3-7-15-3'],
    ),
}


@pytest.fixture(params=SMALL)
def backbone(request, random_backbone):
    return random_backbone(SMALL[request.param])


def static_network(backbone, subnet):
    """The ordinary network with the weights of a sub-network, loaded strictly."""
    network = MODELS.build(backbone.static_config(subnet))
    network.load_state_dict(backbone.extract(subnet), strict=True)
    network.eval()  # returns None in mmpretrain
    return network


def image_features(network, images):
    last = network(images)[-1]
    return last if last.ndim == 2 else last.mean((2, 3))


@torch.no_grad()
def test_every_extracted_network_computes_what_the_slice_does(backbone):
    sizes = set()
    for subnet in backbone.space:
        network = static_network(backbone, subnet)
        for shape in [(64, 64), (64, 96)]:
            images = torch.randn(2, 3, *shape)
            expected = image_features(network, images)
            assert expected.shape[1] == backbone.feature_dims(subnet)
            torch.testing.assert_close(backbone.image_features(images, subnet), expected, rtol=1e-5, atol=1e-5)
        sizes.add(sum(p.numel() for p in network.parameters()))
    assert len(sizes) == len(backbone.space)


@torch.no_grad()
@pytest.mark.parametrize('family', REAL)
def test_extraction_from_the_real_spaces(family, random_backbone):
    cfg, subnets = REAL[family]
    backbone = random_backbone(cfg)
    images = torch.randn(1, 3, 64, 96)
    for subnet in subnets:
        expected = image_features(static_network(backbone, subnet), images)
        torch.testing.assert_close(backbone.image_features(images, subnet), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_intact_weights_load_as_they_are(backbone):
    network = MODELS.build(backbone.static_config())
    weights = {k: v for k, v in backbone.state_dict().items() if k != 'mask_token'}
    network.load_state_dict(weights, strict=True)
    network.eval()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(backbone.image_features(images), image_features(network, images))


def leading_part(parameter, shape):
    """Which entries of an intact parameter make up one of a smaller shape."""
    mask = torch.zeros(parameter.shape, dtype=torch.bool)
    mask[tuple(slice(n) for n in shape)] = True
    return mask


def test_gradients_land_in_the_slice_only(backbone):
    for subnet in [backbone.space.smallest, *list(backbone.space)[1:4]]:
        static = dict(static_network(backbone, subnet).named_parameters())
        backbone.zero_grad()
        (features, patches), _ = backbone([torch.randn(2, 3, 64, 64), torch.randn(3, 3, 32, 32)], subnet=subnet)
        (features.square().sum() + patches.sin().sum()).backward()
        blocks = {
            f'{prefix}{old}.': f'{prefix}{new}.'
            for prefix, active in zip(backbone.block_prefixes, backbone.space.active_blocks(subnet))
            for new, old in enumerate(active)
        }
        received = set()
        for name, parameter in backbone.named_parameters():
            if parameter.grad is None:
                continue
            static_name = next((new + name[len(o) :] for o, new in blocks.items() if name.startswith(o)), name)
            received.add(static_name)
            inside = leading_part(parameter, static[static_name].shape)
            groups = 3 if 'qkv' in name else 2 if 'w12' in name else 1
            if groups > 1:  # the leading part of each
                part = leading_part(parameter.unflatten(0, (groups, -1))[0], static[static_name].chunk(groups)[0].shape)
                inside = part.repeat(groups, *[1] * (part.ndim - 1))
            assert parameter.grad[inside].any(), name
            assert not parameter.grad[~inside].any(), name
        unused = {name for name in static if name not in received}
        last_norm = f'norm{len(backbone.space.stages) - 1}.'
        assert all(name.startswith('norm') and not name.startswith(last_norm) for name in unused), unused


@torch.no_grad()
def test_nothing_outside_the_slice_is_read(backbone):
    subnet = backbone.space.smallest
    images = torch.randn(2, 3, 64, 64)
    expected = backbone.image_features(images, subnet)
    kept = backbone.extract(subnet)
    poisoned = copy.deepcopy(backbone)
    active = [
        f'{prefix}{index}.'
        for prefix, blocks in zip(backbone.block_prefixes, backbone.space.active_blocks(subnet))
        for index in blocks
    ]
    for name, parameter in poisoned.named_parameters():
        if name.startswith(backbone.block_prefixes) and not name.startswith(tuple(active)):
            parameter.fill_(float('nan'))
        elif name in kept and 'qkv' not in name and 'w12' not in name:
            parameter[~leading_part(parameter, kept[name].shape)] = float('nan')
    assert poisoned.image_features(images, subnet).equal(expected)


@torch.no_grad()
def test_several_crop_sizes_in_one_pass(backbone):
    crops = [torch.randn(2, 3, 64, 64), torch.randn(3, 3, 32, 32), torch.randn(1, 3, 96, 64)]
    masks = torch.rand(2, backbone.patch_features(crops[0]).shape[1]) < 0.4
    for subnet in [backbone.space.smallest, None]:
        together = backbone(crops, masks, subnet)
        for i, (images, outputs) in enumerate(zip(crops, together)):
            ((features, patches),) = backbone([images], masks if i == 0 else None, subnet)
            torch.testing.assert_close(outputs[0], features, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(outputs[1], patches, rtol=1e-5, atol=1e-5)
            assert features.shape == (len(images), backbone.feature_dims(subnet))


@torch.no_grad()
def test_masks_hide_the_image(backbone):
    first, second = torch.randn(2, 2, 3, 64, 64)
    shown = backbone.patch_features(first)
    masks = torch.zeros(shown.shape[:2], dtype=torch.bool)
    assert backbone.patch_features(first, masks=masks).equal(shown)
    masks[1] = True
    one, other = backbone.patch_features(first, masks=masks), backbone.patch_features(second, masks=masks)
    assert one[1].equal(other[1])
    torch.testing.assert_close(one[0], shown[0], rtol=1e-5, atol=1e-5)
    assert not one[0].allclose(other[0], atol=1e-2)


def test_recomputed_activations_give_the_same_gradients(backbone):
    crops = [torch.randn(2, 3, 64, 64), torch.randn(2, 3, 32, 32)]
    gradients = []
    for with_cp in (False, True):
        model = copy.deepcopy(backbone).train()
        model.with_cp = with_cp
        sum(features.square().sum() for features, _ in model(crops, subnet='smallest')).backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1])
    for plain, recomputed in zip(*gradients):
        torch.testing.assert_close(recomputed, plain)


@torch.no_grad()
@pytest.mark.parametrize('read', ['image_features', 'level_features'])
def test_sub_networks_in_turn(backbone, read):
    """Same results; every beginning that sub-networks share is run once, and outputs are kept for the next alone."""
    images, space = torch.randn(2, 3, 64, 64), backbone.space
    expected = {subnet: getattr(backbone, read)(images, subnet) for subnet in space}
    ran = []
    for name, module in backbone.named_modules():
        if name.rpartition('.')[0] + '.' in backbone.block_prefixes:
            module.register_forward_hook(lambda *_: ran.append(1))
    seen, begun = [], set()
    for subnet in backbone.in_turn(space):
        torch.testing.assert_close(getattr(backbone, read)(images, subnet), expected[subnet], rtol=0, atol=0)
        seen.append(subnet)
        path = [(stage, i) for stage, active in enumerate(space.active_blocks(subnet)) for i in active]
        begun |= {(subnet.width, *path[:end]) for end in range(1, len(path) + 1)}
        assert len(ran) == len(begun)
    assert set(seen) == set(space) and len(seen) == len(space)
    assert len(ran) < sum(sum(map(len, space.active_blocks(subnet))) for subnet in space)
    alone = getattr(backbone, read)(2 * images)
    for subnet in backbone.in_turn([space.intact]):
        torch.testing.assert_close(getattr(backbone, read)(2 * images, subnet), alone, rtol=0, atol=0)
        assert not backbone._shared.outputs


@pytest.mark.parametrize(
    'kind, share', [('ElasticVisionTransformer', 0.69), ('ElasticSwinTransformer', 0.57), ('ElasticResNet', 0.57)]
)
def test_blocks_that_run_of_the_papers_spaces(kind, share):
    """docs/benchmarks.md states these shares."""
    with torch.device('meta'):
        space = MODELS.build(dict(type=f'poa_mm.{kind}')).space
    blocks = sum(sum(map(len, space.active_blocks(subnet))) for subnet in space)
    assert round(1 - sum(SharedBlocks(space, space).common) / blocks, 2) == share


def test_sub_networks_in_turn_are_refused(backbone):
    turn = backbone.in_turn(backbone.space)
    next(turn)
    with pytest.raises(RuntimeError, match='one loop at a time'):
        next(backbone.in_turn(backbone.space))
    turn.close()
    with pytest.raises(RuntimeError, match='evaluation mode'):
        next(backbone.train().in_turn(backbone.space))


def test_layer_depths_rise_from_input_to_output(backbone):
    ids, nums = zip(*(backbone.get_layer_depth(f'backbone.{n}', 'backbone.') for n, _ in backbone.named_parameters()))
    (num_layers,) = set(nums)
    assert set(ids) <= set(range(num_layers)) and min(ids) == 0 and max(ids) == num_layers - 1
    assert backbone.get_layer_depth('head.weight', 'backbone.') == (num_layers - 1, num_layers)
    blocks = [
        backbone.get_layer_depth(f'{prefix}{index}.x')[0]
        for prefix, stage in zip(backbone.block_prefixes, backbone.space.stages)
        for index in range(stage[-1])
    ]
    assert blocks == list(range(1, len(blocks) + 1))


def test_unknown_subnets_are_refused(backbone):
    with pytest.raises(ValueError, match='allowed are'):
        backbone.image_features(torch.randn(1, 3, 64, 64), '7x7')


@pytest.mark.parametrize('cfg', [VIT, SWIN], ids=lambda cfg: cfg['type'])
def test_residual_in_bf16(cfg, random_backbone, monkeypatch):
    plain, half = random_backbone(cfg), random_backbone({**cfg, 'bf16_residual': True})
    images = torch.randn(3, 3, cfg['img_size'], cfg['img_size'])
    seen = []
    monkeypatch.setattr(half, 'run_block', lambda block, x, *args: seen.append(x.dtype) or block(x, *args))
    assert torch.equal(half.image_features(images), plain.image_features(images))  # without mixed precision
    with torch.autocast('cpu', torch.bfloat16):
        found, expected = (backbone.image_features(images).float() for backbone in (half, plain))
    blocks = len(seen) // 2
    assert seen == [torch.float32] * blocks + [torch.bfloat16] * blocks
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1 * expected.abs().max().item())

"""Elastic Swin: windows, shifts, masks, and the Swins of mmpretrain and mmseg."""

from collections import Counter

import pytest
import torch
from mmpretrain.models.utils.attention import ShiftWindowMSA, WindowMSA
from mmpretrain.registry import MODELS as MMPRETRAIN
from mmseg.models.backbones import SwinTransformer as MMSegSwin

from poa_mm.elastic import SubnetSampler
from poa_mm.models import ElasticSwinTransformer
from poa_mm.models.backbones.swin import ElasticWindowMSA
from poa_mm.models.backbones.windows import (
    merge_windows,
    partition_windows,
    relative_position_index,
    shift_mask,
)
from poa_mm.registry import MODELS as POA_MM
from tests.helpers.networks import SWIN


@pytest.fixture(scope='module')
def real():
    return ElasticSwinTransformer(drop_path_rate=0.2)


def test_space_of_the_paper(real):
    space = real.space
    assert len(space) == 39
    assert {name: str(subnet) for name, subnet in space.named.items()} == {
        'T': '96x6',
        'S': '96x18',
        'B': '128x18',
    }
    assert space.intact == space.named['B'] and space.smallest == space.named['T']
    assert space.stage_depths(space.named['T']) == (2, 2, 6, 2)
    assert [real.feature_dims(name) for name in 'TSB'] == [768, 768, 1024]
    assert [real.static_config(name)['arch']['num_heads'] for name in 'TB'] == [[6, 12, 24, 48], [8, 16, 32, 64]]


def test_sampler_draws_every_copy_once_a_pass(real):
    sampler = SubnetSampler(real.space, width_strength=2, depth_strength=2)
    expected = Counter()
    for i, width in enumerate([96, 112, 128]):
        for depth in range(6, 19):
            expected[f'{width}x{depth}'] = round((2 - i / 2) * (2 - (depth - 6) / 12))
    del expected['128x18']  # the intact network
    assert sum(expected.values()) == 88
    assert Counter(str(sampler(step)) for step in range(88)) == expected


@pytest.mark.parametrize('height, width', [(7, 7), (14, 21), (24, 24), (3, 3), (5, 9)])
@pytest.mark.parametrize('shift', [0, 3])
def test_windows(height, width, shift):
    x = torch.randn(2, height, width, 4)
    windows = partition_windows(x, 7, shift)
    assert merge_windows(windows, height, width, 7, shift).equal(x)
    rows, columns = -(-height // 7) * 7, -(-width // 7) * 7
    padded = torch.zeros(2, rows, columns, 4)
    padded[:, :height, :width] = x
    padded = torch.roll(padded, (-shift, -shift), (1, 2))
    for i in range(rows // 7):
        for j in range(columns // 7):
            window = padded[:, 7 * i : 7 * i + 7, 7 * j : 7 * j + 7].flatten(1, 2)
            assert windows[:, i * (columns // 7) + j].equal(window)
    if shift:
        expected = ShiftWindowMSA.get_attn_mask((rows, columns), 7, shift)
        assert shift_mask(height, width, 7, shift, x.device, x.dtype)[:, 0].equal(expected)


@pytest.mark.parametrize('window_size', [4, 7])
def test_relative_positions_are_mmpretrains(window_size):
    expected = WindowMSA(8, (window_size, window_size), 1).relative_position_index
    assert relative_position_index(window_size).equal(expected)


def test_shift_mask_is_built_once_and_survives_inference_mode():
    model = POA_MM.build(SWIN)
    images = torch.randn(1, 3, 64, 128)
    with torch.inference_mode():
        model.image_features(images)
    built = shift_mask.cache_info().misses
    for _ in range(2):
        model.image_features(images).sum().backward()
    assert shift_mask.cache_info().misses == built


@pytest.mark.parametrize('depth', [6, 7, 11, 18])
def test_every_second_active_block_is_shifted(real, depth):
    shifts = []
    hooks = [
        block.register_forward_pre_hook(lambda _, args, i=i, j=j: shifts.append((i, j, args[2])))
        for i, stage in enumerate(real.stages)
        for j, block in enumerate(stage.blocks)
    ]
    with torch.no_grad():
        real.eval().image_features(torch.randn(1, 3, 32, 32), f'96x{depth}')
    for hook in hooks:
        hook.remove()
    active = [17 * j // (depth - 1) for j in range(depth)]
    expected = [(2, block, 3 * (position % 2)) for position, block in enumerate(active)]
    assert [shift for shift in shifts if shift[0] == 2] == expected
    assert [shift for shift in shifts if shift[0] != 2] == [(i, j, 3 * j) for i in (0, 1, 3) for j in (0, 1)]


@torch.no_grad()
@pytest.mark.parametrize('height, width', [(64, 64), (224, 224), (50, 71), (17, 230)])
def test_equals_mmpretrain_at_any_size(random_backbone, height, width):
    model = random_backbone(SWIN)
    for subnet in ['intact', '24x3']:
        network = MMPRETRAIN.build(model.static_config(subnet))
        network.load_state_dict(model.extract(subnet), strict=True)
        network.eval()
        images = torch.randn(2, 3, height, width)
        last = network(images)[-1]
        torch.testing.assert_close(model.image_features(images, subnet), last.mean((2, 3)), rtol=1e-5, atol=1e-5)
        cells = torch.nn.functional.interpolate(last, scale_factor=2).flatten(2).transpose(1, 2)
        torch.testing.assert_close(model.patch_features(images, subnet), cells, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('name', ['T', 'S', 'B'])
def test_mmseg_loads_it_strictly(real, name):
    weights, arch = real.extract(name), real.static_config(name)['arch']
    theirs = MMSegSwin(**arch)
    theirs.load_state_dict(weights, strict=True)
    ours = MMPRETRAIN.build(real.static_config(name))
    ours.load_state_dict(weights, strict=True)
    for network in (theirs, ours):
        network.eval()
    images = torch.randn(1, 3, 64, 100)
    for a, b in zip(theirs(images), ours(images), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    expected = a.mean((2, 3))
    torch.testing.assert_close(real.eval().image_features(images, name), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_mask_cell_hides_its_pixels_and_no_others(random_backbone):
    model = random_backbone(SWIN)
    images = torch.randn(1, 3, 64, 96)
    masks = torch.zeros(1, 4 * 6, dtype=torch.bool)
    masks[0, 6 * 1 + 2] = True  # pixels 16 to 31 of the rows, 32 to 47 of the columns
    expected = model.patch_features(images, masks=masks)
    hidden, beside = images.clone(), images.clone()
    hidden[..., 16:32, 32:48] = 5
    beside[..., 16:32, 48:49] = 5
    assert model.patch_features(hidden, masks=masks).equal(expected)
    assert not model.patch_features(beside, masks=masks).allclose(expected)


@pytest.mark.parametrize('shape, cells', [((64, 64), 15), ((80, 80), 25)])
def test_masks_that_do_not_fit_are_refused(shape, cells):
    model = POA_MM.build(SWIN)
    with pytest.raises(ValueError, match='multiples of 32'):
        model([torch.randn(1, 3, *shape)], torch.zeros(1, cells, dtype=torch.bool))


def test_layer_depths(real):
    expected = {
        'mask_token': 0,
        'patch_embed.norm.weight': 0,
        'stages.0.blocks.0.norm1.weight': 1,
        'stages.0.blocks.1.attn.w_msa.relative_position_bias_table': 2,
        'stages.0.downsample.reduction.weight': 3,
        'stages.1.blocks.0.ffn.layers.1.bias': 3,
        'stages.2.blocks.17.norm2.bias': 22,
        'stages.2.downsample.norm.weight': 23,
        'norm0.weight': 25,
        'norm3.weight': 25,
    }
    parameters = dict(real.named_parameters())
    for name, layer in expected.items():
        assert name in parameters
        assert real.get_layer_depth(name) == (layer, 26), name


def test_drop_path_rises_over_all_blocks(real):
    rates = [rate for stage in real.drop_path_rates for rate in stage]
    assert all(type(rate) is float for rate in rates)  # NumPy's break compiled graphs
    assert rates == pytest.approx([0.2 * i / 23 for i in range(24)])


def test_drop_path_runs_on_samples_of_both_sizes():
    torch.manual_seed(0)
    model = POA_MM.build({**SWIN, 'drop_path_rate': 0.5}).train()
    crops = [torch.randn(4, 3, 64, 64), torch.randn(6, 3, 32, 32)]
    first, second = model(crops), model(crops)
    assert all(features.isfinite().all() for features, _ in first)
    assert not first[0][0].allclose(second[0][0])


def test_start(real):
    """PyTorch's defaults, as in the authors' program: uniform weights and biases; relative tables are zero."""
    assert not any(m.relative_position_bias_table.any() for m in real.modules() if isinstance(m, ElasticWindowMSA))
    qkv = real.stages[3].blocks[0].attn.w_msa.qkv
    for layer in (real.stages[0].downsample.reduction, qkv):
        bound = layer.in_features**-0.5
        assert layer.weight.abs().max().item() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert qkv.bias.std().item() == pytest.approx(qkv.in_features**-0.5 / 3**0.5, rel=0.05)


def test_mixed_precision():
    model = POA_MM.build(SWIN)
    with torch.autocast('cpu', torch.bfloat16):
        features = model.image_features(torch.randn(2, 3, 64, 64), '24x3')
    assert features.isfinite().all()
    features.sum().backward()


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(stage_depths=(2, 2, 2)), 'one None'),
        (dict(widths=(20, 40, 20)), 'not a multiple of head_dim 16'),
        (dict(img_size=100), 'not a multiple of the stride of the last map, 32'),
        (dict(mask_stride=12), 'must be a multiple of 4 and divide 32, got 12'),
        (dict(depths=(6, 2)), 'depths must be'),
    ],
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        ElasticSwinTransformer(**wrong)

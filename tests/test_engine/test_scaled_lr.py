"""An extracted network learns as it would inside the intact one: the factor of its sliced layers moves to the lr."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from poa_mm.engine.start_file import find_scales
from poa_mm.errors import UserError
from poa_mm.extraction import ExtractedNetwork, export_subnet
from poa_mm.registry import MODELS
from tests.helpers.networks import RESNET, SWIN, VIT

# Sub-networks of full depth, so that all blocks have the same layer ids inside and outside.
FAMILIES = {'vit': (VIT, '16x4'), 'swin': (SWIN, '16x4'), 'resnet': (RESNET, '8x1-2-3-2')}
STEPS = 3


def extracted(elastic, subnet, folder, toolbox='mmpretrain'):
    """A model with the sub-network as an ordinary backbone, which its ``init_cfg`` names."""
    path = export_subnet(elastic, subnet, folder / toolbox, {}, toolbox)
    init_cfg = ExtractedNetwork.load(path).init_cfg(path)
    model = nn.Module()
    with DefaultScope.overwrite_default_scope(toolbox):
        model.backbone = MODELS.build({**ExtractedNetwork.load(path).config, 'init_cfg': ConfigDict(init_cfg)})
        model.backbone.init_weights()
    return model


def optimizer(model, **paramwise):
    cfg = dict(
        type='mmengine.OptimWrapper',
        constructor='poa_mm.LayerDecayOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=0.005, betas=(0.9, 0.999), weight_decay=0.5),
        paramwise_cfg=dict(layer_decay_rate=0.8, patch_embed_lr_mult=0.5, **paramwise),
    )
    return build_optim_wrapper(model, cfg).optimizer


def train(optim, features, images, targets):
    """Steps of AdamW; the loss is large, so that the optimizer's eps does not count."""
    for _ in range(STEPS):
        optim.zero_grad()
        (1e8 * (features(images) - targets).square().mean()).backward()
        optim.step()


@pytest.mark.parametrize('family', FAMILIES)
def test_same_steps_as_inside_the_intact_network(family, random_backbone, tmp_path):
    config, subnet = FAMILIES[family]
    elastic = random_backbone(config).double()
    results = {}
    images = torch.randn(4, 3, config.get('img_size', 64), config.get('img_size', 64), dtype=torch.float64)
    targets = torch.randn(4, elastic.feature_dims(subnet), dtype=torch.float64)
    inside = nn.Module()
    for scaled in (True, False):
        model = extracted(elastic, subnet, tmp_path)
        model.double().eval()
        model.backbone.load_state_dict(elastic.extract(subnet), strict=False)  # the file holds single precision

        def features(x, backbone=model.backbone):
            found = backbone(x)[-1]
            return found.mean((2, 3)) if found.ndim == 4 else found

        train(optimizer(model, scaled_lr=scaled), features, images, targets)
        results[scaled] = model.backbone.state_dict()
    before = elastic.extract(subnet)
    inside.backbone = elastic.requires_grad_(True)
    train(optimizer(inside), lambda x: elastic.image_features(x, subnet), images, targets)
    expected = elastic.extract(subnet)
    for name, value in expected.items():
        if name.endswith('qkv.bias'):  # the keys' bias has no gradient but rounding, and no effect
            value[len(value) // 3 : 2 * len(value) // 3] = results[True][name].chunk(3)[1]
        torch.testing.assert_close(results[True][name], value, rtol=0, atol=1e-5, msg=lambda m, n=name: f'{n}: {m}')
    moved = max((expected[name] - value).abs().max() for name, value in before.items())
    error = max((results[False][name] - value).abs().max() for name, value in expected.items())
    assert moved > 0.01 and error > 0.01


@pytest.mark.parametrize('toolbox', ['mmpretrain', 'mmdet', 'mmseg'])
@pytest.mark.parametrize('family', FAMILIES)
def test_factors_are_found_in_every_toolbox(family, toolbox, random_backbone, tmp_path):
    import mmdet.models  # noqa: F401 (after poa_mm, which brings mmcv's operators)
    import mmseg.models  # noqa: F401

    config, subnet = FAMILIES[family]
    elastic = random_backbone(config)
    model = extracted(elastic, subnet, tmp_path, toolbox)
    scales = find_scales(model)
    names = {name for name, _ in model.backbone.named_parameters()}
    assert names == scales.keys() and set(scales.values()) == {1.0, 2.0}
    weights = {name: p for name, p in model.backbone.named_parameters() if scales[name] == 2.0}
    assert min(p.ndim for p in weights.values()) >= 2
    groups = optimizer(model, scaled_lr=True).param_groups
    of = {id(p): group for group in groups for p in group['params']}
    plain = {id(p): group for group in optimizer(model).param_groups for p in group['params']}
    for name, p in model.backbone.named_parameters():
        lr, decay = (of[id(p)][key] / (plain[id(p)][key] or 1) for key in ('lr', 'weight_decay'))
        assert lr == pytest.approx(scales[name]) and decay in (0, pytest.approx(1 / scales[name]))
    assert any(' x 2' in group['name'] for group in groups)


def test_a_network_without_factors(random_backbone, tmp_path):
    model = extracted(random_backbone(VIT), '16x4', tmp_path)
    model.backbone.init_cfg = None
    with pytest.raises(UserError, match='scaled_lr needs the factors in the extracted file'):
        optimizer(model, scaled_lr=True)
    path = tmp_path / 'other.pth'
    torch.save(model.backbone.state_dict(), path)
    model.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(path))
    with pytest.raises(UserError, match='is not an extracted sub-network'):
        optimizer(model, scaled_lr=True)

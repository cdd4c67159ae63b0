"""An extracted file gives what the sub-network in the checkpoint gives, for all families."""

import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmpretrain.registry import MODELS as STATIC

from poa_mm.evaluation import gather_candidates
from poa_mm.evaluation.comparison import EvalOptions, merge_settings, open_comparison
from poa_mm.extraction import LoadedNetwork, export_subnet, load_pretrained, open_network, resolve_inputs
from poa_mm.registry import MODELS
from tests.helpers.networks import RESNET, RESNET_50, SWIN, SWIN_TWO_STAGES, VIT

BACKBONES = {
    'vit': (
        {**VIT, 'img_size': 32},
        '24x3',
    ),
    'swin': (
        {**SWIN, 'stage_depths': (1, 1, None), 'window_size': 4},
        '24x3',
    ),
    'resnet': (RESNET_50, '24x3-4-6-3'),
    'published resnet': (RESNET_50, '16x3-4-6-3'),
    'small swin': (
        {**SWIN_TWO_STAGES, 'img_size': 32, 'patch_size': 2, 'widths': (16, 32, 8), 'depths': (2, 4),
         'stage_depths': (1, None), 'mask_stride': 2},
        '24x3',
    ),
    'small resnet': ({**RESNET, 'depths': ((1, 2), (1, 3)), 'mask_stride': 8}, '12x1-2'),
}  # fmt: skip


def perturbed(config):
    torch.manual_seed(0)
    backbone = MODELS.build({'_scope_': 'poa_mm', **config})
    for parameter in backbone.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return backbone.eval()


def loaded(backbone, file):
    return LoadedNetwork('pretrained', backbone, dict(file=file), {})


@pytest.mark.parametrize('family', BACKBONES)
def test_extracted_file_computes_the_same(family, tmp_path):
    config, subnet = BACKBONES[family]
    backbone = perturbed(config)
    meta = dict(
        checkpoint='iter_7.pth', branch='teacher', iteration=7, seed=3, experiment_name='x', data='ImageFolder x'
    )
    path = export_subnet(backbone, subnet, tmp_path, meta)
    state = torch.random.get_rng_state()
    opened = open_network(path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert opened.kind == 'extracted'
    assert opened.source == dict(file=str(path), **meta)
    (candidate,) = gather_candidates([opened], ['all'])
    assert str(candidate.subnet) == subnet and str(path) in candidate.key
    (whole,) = gather_candidates([loaded(backbone, 'x')], [subnet])
    assert candidate.params == whole.params == sum(v.numel() for v in _parameters(path))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(candidate.network(images), whole.network(images), rtol=1e-4, atol=1e-4)
    assert opened.backbone.img_size == backbone.img_size == config.get('img_size')
    assert opened.backbone.static_config() == backbone.static_config(subnet)


def _parameters(path):
    """Of the ordinary network that the file describes, built by mmpretrain."""
    network = STATIC.build(torch.load(path, weights_only=True)['meta']['config'])
    return network.parameters()


def test_checkpoint_and_files_that_will_not_do(tmp_path):
    config, subnet = BACKBONES['vit']
    backbone = perturbed(config)
    cfg = Config(dict(model=dict(backbone=config)))
    weights = {f'teacher.backbone.{k}': v for k, v in backbone.state_dict().items()}
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, iter=5), state_dict=weights), tmp_path / 'iter_5.pth')
    opened = open_network(tmp_path / 'iter_5.pth', Config(dict(knn=dict())))
    assert opened.kind == 'pretrained' and opened.source['iteration'] == 5
    assert opened.inputs == dict(img_size=32, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
    path = export_subnet(backbone, subnet, tmp_path, {})
    contents = torch.load(path)
    contents['state_dict'].pop('backbone.ln1.weight')
    torch.save(contents, path)
    with pytest.raises(ValueError, match=r'does not fit the config: ln1\.weight is missing'):
        open_network(path)
    contents['meta']['config'] = dict(type='mmpretrain.VGG')
    torch.save(contents, path)
    with pytest.raises(ValueError, match=r'mmpretrain\.VGG is not .*known family, which are .*ResNet'):
        open_network(path)
    contents['meta']['config'] = dict(type='mmpretrain.VisionTransformer', arch='base')
    torch.save(contents, path)
    with pytest.raises(ValueError, match='holds a network that poa_mm did not extract'):
        open_network(path)
    for toolbox in ('mmdet', 'mmseg'):
        path = export_subnet(backbone, '24x4', tmp_path / toolbox, {}, toolbox)
        with pytest.raises(ValueError, match=f'extracted with --format {toolbox}, .* with --format mmpretrain'):
            open_network(path)
    with pytest.raises(ValueError, match='given twice'):
        gather_candidates([loaded(backbone, 'a')] * 2, ['all'])
    names = [c.key for c in gather_candidates([loaded(backbone, file) for file in 'ab'], ['16x2'])]
    assert names == ['pretrained 16x2 (a)', 'pretrained 16x2 (b)']


def test_extracted_file_knows_mean_and_std_of_its_images(tmp_path):
    config, subnet = BACKBONES['vit']
    norm = dict(mean=[10.0, 20.0, 30.0], std=[4.0, 5.0, 6.0])
    cfg = Config(dict(model=dict(backbone=config, data_preprocessor=dict(type='MultiCropPreprocessor', **norm))))
    weights = {f'teacher.backbone.{k}': v for k, v in perturbed(config).state_dict().items()}
    torch.save(dict(meta=dict(cfg=cfg.pretty_text), state_dict=weights), tmp_path / 'iter_5.pth')
    backbone, meta = load_pretrained(tmp_path / 'iter_5.pth')
    path = export_subnet(backbone, subnet, tmp_path, meta)
    data = {key: dict(type='DemoDataset', num_samples=8, image_size=48) for key in ('train', 'val')}
    warnings, handler = [], logging.Handler(logging.WARNING)
    handler.emit = lambda entry: warnings.append(entry.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        inputs = EvalOptions(Config(), [str(path), str(tmp_path / 'iter_5.pth')], ['intact'], options=data)
        comparison = open_comparison(inputs, 'knn', {})
        assert (comparison.mean, comparison.std) == (norm['mean'], norm['std']) and not warnings
        contents = torch.load(path)
        contents['meta'].update(mean=None, std=None)  # as older files
        torch.save(contents, path)
        comparison = open_comparison(EvalOptions(Config(), [str(path)], options=data), 'knn', {})
        assert comparison.mean == pytest.approx([123.675, 116.28, 103.53])
        assert len(warnings) == 1 and 'using 123.675, 116.28, 103.53 and 58.395, 57.12, 57.375' in warnings[0]
        contents['meta'].update(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
        torch.save(contents, path)
        with pytest.raises(ValueError, match='different mean and std'):
            open_comparison(inputs, 'knn', {})
    finally:
        logger.removeHandler(handler)


def test_config_of_the_checkpoint_is_the_default(tmp_path):
    data = dict(type='DemoDataset', num_samples=8, image_size=48)
    knn = dict(train=data, val=dict(data, split='val'), crop=24, ks=(2,))
    cfg = Config(dict(model=dict(backbone=BACKBONES['vit'][0]), knn=knn, randomness=dict(seed=7)))
    weights = {f'backbone.{k}': v for k, v in perturbed(BACKBONES['vit'][0]).state_dict().items()}
    file = str(tmp_path / 'iter_5.pth')
    torch.save(dict(meta=dict(cfg=cfg.pretty_text), state_dict=weights), file)
    given, own = (
        open_comparison(EvalOptions(c, [file], ['intact'], untrained=True), 'knn', dict(ks=(5,)))
        for c in (cfg, Config())
    )
    assert own.settings == given.settings == dict(ks=(2,), crop=24, resize=27, interpolation='bicubic')
    assert own.seed == given.seed == 7 and len(own.candidates) == 2
    assert own.sources[0]['branch'] == 'student'  # the only one
    changed = open_comparison(EvalOptions(Config(dict(knn=dict(ks=(3,)))), [file]), 'knn', dict(ks=(5,)))
    assert changed.settings == dict(ks=(3,), crop=24, resize=27, interpolation='bicubic')
    with pytest.raises(ValueError, match=r'has no weights named teacher\.backbone'):
        open_network(file, branch='teacher')


def test_resnet_is_evaluated_at_the_size_that_it_was_trained_with(tmp_path):
    config, subnet = BACKBONES['small resnet']
    views = dict(global_1=dict(size=48))
    cfg = Config(dict(model=dict(backbone=config), train_dataloader=dict(dataset=dict(views=views))))
    weights = {f'teacher.backbone.{k}': v for k, v in perturbed(config).state_dict().items()}
    torch.save(dict(meta=dict(cfg=cfg.pretty_text), state_dict=weights), tmp_path / 'iter_5.pth')
    backbone, meta = load_pretrained(tmp_path / 'iter_5.pth')
    path = export_subnet(backbone, subnet, tmp_path, meta)
    data = {key: dict(type='DemoDataset', num_samples=8, image_size=48) for key in ('train', 'val')}
    for given, file in ((Config(), path), (Config(), tmp_path / 'iter_5.pth'), (cfg, None)):
        files = [] if file is None else [str(file)]
        comparison = open_comparison(
            EvalOptions(given, files, ['intact'], untrained=not files, options=data), 'knn', {}
        )
        assert (comparison.settings['crop'], comparison.settings['resize']) == (48, 55)
    assert merge_settings(cfg, 'knn', {}, None, data)['crop'] == 48
    assert merge_settings(Config(), 'knn', {}, None, data)['crop'] == 224  # not known
    vit = export_subnet(perturbed(BACKBONES['vit'][0]), '24x3', tmp_path, {})
    with pytest.raises(ValueError, match=r'made for images of \[32, 48\] px: choose one size with --crop'):
        open_comparison(EvalOptions(Config(), [str(path), str(vit)], options=data), 'knn', {})


def test_inputs_come_from_the_first_source_that_has_them():
    option, section = dict(img_size=64), dict(img_size=80, mean=[1.0, 2.0, 3.0])
    file, config = dict(img_size=None, mean=[4.0, 5.0, 6.0], std=[7.0, 8.0, 9.0]), dict(std=[1.0, 1.0, 1.0])
    assert resolve_inputs(option, section, file, config) == dict(img_size=64, mean=[1.0, 2.0, 3.0], std=[7.0, 8.0, 9.0])
    assert resolve_inputs(None, file, dict(img_size=96))['img_size'] == 96
    assert resolve_inputs(None, {}) == dict(img_size=224, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
    assert merge_settings(Config(dict(knn=dict(crop=80))), 'knn', {}, dict(img_size=96), {})['crop'] == 80
    options = dict(crop=64, train={}, val={})
    assert merge_settings(Config(dict(knn=dict(crop=80))), 'knn', {}, dict(img_size=96), options)['crop'] == 64

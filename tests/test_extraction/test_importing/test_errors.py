"""What does not fit is one sentence that names the weight or the option."""

import json

import pytest
import torch
from mmengine.config import Config
from mmpretrain.models import VisionTransformer

from poa_mm.extraction.importing import import_weights, read_source
from tests.helpers.networks import VIT


@pytest.fixture
def weights():
    arch = dict(embed_dims=32, num_layers=4, num_heads=4, feedforward_channels=128)
    return VisionTransformer(arch, 16, 8, layer_scale_init_value=0.1).state_dict()


@pytest.fixture
def load(tmp_path):
    def load(weights, model=None, branch=None, **changes):
        torch.save(weights, tmp_path / 'w.pth')
        cfg = Config(dict(model=dict(type='POA', **{'backbone': {**VIT, **changes}, **(model or {})})))
        return import_weights(tmp_path / 'w.pth', cfg, branch)

    return load


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(widths=(32, 64, 32)), r'width is 32 in the file, 64 in the config \(model.backbone.widths\)'),
        (dict(depths=(2, 5)), r'number of blocks is 4 in the file, 5 in the config \(model.backbone.depths\)'),
        (dict(patch_size=16), r'patch_size is 8 in the file, 16 in the config \(model.backbone.patch_size\)'),
        (
            dict(layer_scale_init_value=0),
            r'LayerScale is True in the file, False in the config \(.*layer_scale_init_value\)',
        ),
        (dict(num_registers=2), r'num_registers is 0 in the file, 2 in the config \(model.backbone.num_registers\)'),
        (dict(ffn='swiglu', widths=(24, 48, 24)), 'width is 32 in the file, 48 in the config'),
        (dict(ln_eps=1e-5), 'ln_eps is 1e-06 in the file, 1e-05 in the config'),
    ],
)
def test_another_network(load, weights, changes, message):
    with pytest.raises(ValueError, match=message):
        load(weights, **changes)


def test_single_weights(load, weights):
    with pytest.raises(ValueError, match=r'lacks the weight layers.2.attn.qkv.bias \(96,\)'):
        load({name: value for name, value in weights.items() if name != 'layers.2.attn.qkv.bias'})
    with pytest.raises(ValueError, match=r'has the weight layers.1.attn.q_norm.weight \(8,\), which the backbone'):
        load({**weights, 'layers.1.attn.q_norm.weight': torch.ones(8)})
    with pytest.raises(ValueError, match=r'layers.0.ffn.layers.1.weight is \(32, 96\) in the file, \(32, 128\) in'):
        load({**weights, 'layers.0.ffn.layers.1.weight': torch.ones(32, 96)})
    with pytest.raises(ValueError, match=r'the names of the weights \(a.b, ...\) are of no known network'):
        load({'a.b': torch.ones(2)})
    with pytest.raises(ValueError, match='holds no weights'):
        load({'meta': 3})


def test_several_networks(load, weights):
    with pytest.raises(ValueError, match=r"several networks, with the prefixes 'a\.', 'b\.'"):
        load({prefix + name: value for name, value in weights.items() for prefix in ('a.', 'b.')})


@pytest.mark.parametrize(
    'nest', [lambda w: {f'teacher.backbone.{k}': v for k, v in w.items()}, lambda w: {'teacher': w}]
)
def test_a_branch_that_the_file_lacks(load, weights, nest):
    for branch in (None, 'teacher'):
        assert torch.equal(load(nest(weights), branch=branch).backbone.cls_token, weights['cls_token'])
    with pytest.raises(ValueError, match=r"the file has no student: its network has the prefix 'teacher\."):
        load(nest(weights), branch='student')
    with pytest.raises(ValueError, match=r"the file has no teacher: its network has the prefix 'backbone\.'"):
        load({f'backbone.{name}': value for name, value in weights.items()}, branch='teacher')


def test_branches_of_one_file(load, weights):
    contents = dict(student={f'module.{name}': value + 1 for name, value in weights.items()}, teacher=weights)
    for branch, added in ((None, 0), ('teacher', 0), ('student', 1)):
        found = load(contents, branch=branch).backbone
        torch.testing.assert_close(found.cls_token, weights['cls_token'] + added, rtol=0, atol=0)


def test_batch_norm(load):
    from torchvision.models import resnet50

    with torch.device('meta'):
        names = resnet50().state_dict()
    with pytest.raises(ValueError, match='holds a ResNet of timm or torchvision, the config a VisionTransformer'):
        load({name: torch.zeros(1) for name in names})
    backbone = dict(type='ElasticResNet', widths=(64, 64, 1), depths=((3, 3), (4, 4), (6, 6), (3, 3)))
    with pytest.raises(ValueError, match='has BatchNorm, the ResNet of the config GroupNorm'):
        load({name: torch.zeros(1) for name in names}, model=dict(backbone=backbone))


def test_levels_and_activation_of_a_folder(tmp_path, weights):
    safetensors = pytest.importorskip('safetensors.torch')
    safetensors.save_file(weights, tmp_path / 'model.safetensors')
    (tmp_path / 'config.json').write_text(json.dumps(dict(architecture='vit', pretrained_cfg=dict(mean=[0.5] * 3))))
    cfg = Config(dict(model=dict(type='POA', backbone=VIT)))
    with pytest.raises(ValueError, match=r'its images have mean \[127.5, 127.5, 127.5\], those of the config'):
        import_weights(tmp_path, cfg)
    cfg.model.data_preprocessor = dict(mean=[127.5] * 3)
    assert import_weights(tmp_path, cfg).library == 'VisionTransformer of mmpretrain or poa_mm'
    (tmp_path / 'config.json').write_text(json.dumps(dict(hidden_act='quick_gelu')))
    with pytest.raises(ValueError, match='is a network with quick_gelu'):
        read_source(tmp_path)
    for config in ({'pretrained_cfg': 3}, {'pretrained_cfg': {'mean': 0.5}}, {'image_mean': 'abc'}, {'num_heads': 3}):
        (tmp_path / 'config.json').write_text(json.dumps(config))
        (tmp_path / 'preprocessor_config.json').write_text(json.dumps(config))
        with pytest.raises(ValueError, match=r'preprocessor_config\.json of .* are not of transformers or timm'):
            read_source(tmp_path)


def test_files(tmp_path):
    with pytest.raises(ValueError, match='does not exist'):
        read_source(tmp_path / 'nowhere.safetensors')
    with pytest.raises(ValueError, match=r'holds no weights: expected model\.safetensors or pytorch'):
        read_source(tmp_path)
    pytest.importorskip('safetensors')
    (tmp_path / 'x.safetensors').write_bytes(b'nothing')
    with pytest.raises(ValueError, match='is not a safetensors file'):
        read_source(tmp_path / 'x.safetensors')
    (tmp_path / 'model.safetensors.index.json').write_text(json.dumps(dict(weight_map={'a': '../x.safetensors'})))
    with pytest.raises(ValueError, match='names a file outside its folder'):
        read_source(tmp_path)
    (tmp_path / 'model.safetensors.index.json').write_text(json.dumps(dict(weight_map=3)))
    with pytest.raises(ValueError, match=r'weight_map of .*index\.json must be a dict, got 3'):
        read_source(tmp_path)

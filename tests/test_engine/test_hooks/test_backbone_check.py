"""Files that do not fit stop a run before it begins; what fits is what the toolboxes then load."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel, BaseModule
from mmpretrain.models import ResNet, SwinTransformer, VisionTransformer

from poa_mm.commands import main
from poa_mm.engine.hooks.backbone_check import check_backbone
from poa_mm.errors import UserError
from poa_mm.models import StaticResNet

# isort: split
from mmdet.models import backbones as mmdet_backbones  # after poa_mm, which brings mmcv's operators
from mmseg.models import backbones as mmseg_backbones


def vit(width=16, layers=2, img_size=32, **kwargs):
    arch = dict(embed_dims=width, num_layers=layers, num_heads=2, feedforward_channels=2 * width)
    return VisionTransformer(arch, img_size=img_size, patch_size=8, **kwargs)


def save(path, weights, **meta):
    torch.save(dict(meta=meta, state_dict=weights), path)
    return path


@pytest.fixture
def file(tmp_path):
    return save(tmp_path / 'S.pth', vit().state_dict(), subnet='16x2', format='mmpretrain')


def check(backbone, path, **init_cfg):
    check_backbone(backbone, dict(type='Pretrained', checkpoint=str(path), **init_cfg))


CONFIG = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
        img_size=32,
        patch_size=8,
        init_cfg=dict(type='Pretrained', checkpoint={checkpoint!r}),
    ),
    head=dict(type='VisionTransformerClsHead', num_classes=2, in_channels=24),
)
train_dataloader = dict(
    batch_size=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='poa_mm.DemoDataset', num_samples=4, split='train'),
)
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
custom_hooks = [dict(type='poa_mm.BackboneCheckHook')]
work_dir = {work_dir!r}
"""


class Model(BaseModel):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, x, mode='loss'):
        raise AssertionError('training began')


class Frozen(BaseModule):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone


def test_stops_a_run_before_weights_are_loaded(make_runner, file, tmp_path, monkeypatch):
    def run(backbone):
        monkeypatch.setattr(Model, 'init_weights', lambda self: pytest.fail('weights are loaded before the check'))
        make_runner(
            model=Model(backbone),
            hooks=[dict(type='BackboneCheckHook')],
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            param_scheduler=None,
        ).train()

    nowhere = dict(type='Pretrained', checkpoint=str(tmp_path / 'nowhere.pth'))
    with pytest.raises(ValueError, match=r'nowhere\.pth'):
        run(vit(init_cfg=nowhere))
    with pytest.raises(ValueError, match=r'nowhere\.pth'):
        run(Frozen(vit(init_cfg=[dict(type='Constant', layer='Linear'), nowhere])))
    with pytest.raises(ValueError, match='other shapes: cls_token'):
        run(vit(24, init_cfg=dict(type='Pretrained', checkpoint=str(file))))
    for fits in (vit(init_cfg=dict(type='Pretrained', checkpoint=str(file))), vit()):
        with pytest.raises(pytest.fail.Exception, match='before the check'):
            run(fits)


def test_command_says_it_in_one_line(file, tmp_path, capsys):
    (tmp_path / 'finetune.py').write_text(CONFIG.format(checkpoint=str(file), work_dir=str(tmp_path / 'work')))
    with pytest.raises(SystemExit) as stopped:
        main(['train', str(tmp_path / 'finetune.py')])
    message = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 2 and message.startswith(f'poa train: error: {file} (sub-network 16x2, ')
    assert 'does not fit the backbone VisionTransformer: other shapes: cls_token is (1, 1, 16)' in message


def test_what_does_not_fit(file, tmp_path):
    check(vit(), file)
    with pytest.raises(ValueError, match=r'unexpected: ln1\.weight, ln1\.bias;.*--format') as error:
        check(vit(final_norm=False), file)
    assert '(sub-network 16x2, --format mmpretrain)' in str(error.value) and 'missing' not in str(error.value)
    with pytest.raises(ValueError, match=r'unexpected: layers\.1\.ln1\.weight.*, layers\.1\.ffn\.layers\.1\.bias;'):
        check(vit(layers=1), file)
    with pytest.raises(ValueError, match=r'missing: layers\.2\.ln1\.weight'):
        check(vit(layers=3), file)
    with pytest.raises(ValueError, match=r'cls_token is \(1, 1, 16\) in the file, \(1, 1, 24\) in the backbone'):
        check(vit(24), file)
    with pytest.raises(ValueError, match=r'missing: layers\.2\.ln1\.weight.* and 16 more;'):
        check(vit(layers=5), file)
    pretraining = save(tmp_path / 'iter.pth', {'teacher.backbone.cls_token': torch.zeros(1), 'head': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'pre-training checkpoint.*extract one first'):
        check(vit(), pretraining)
    for folder, option in [('mmdet', ' --format mmdet'), ('mmpretrain', '')]:
        with pytest.raises(UserError, match=f'poa extract CHECKPOINT --subnets 16x2{option} --out no/{folder}$'):
            check(vit(), f'no/{folder}/16x2.pth')
    (tmp_path / 'text.pth').write_text('hello')
    with pytest.raises(ValueError, match='not a PyTorch checkpoint'):
        check(vit(), tmp_path / 'text.pth')


def test_only_the_number_of_positions_may_differ(file, tmp_path):
    bigger = vit(img_size=64, init_cfg=dict(type='Pretrained', checkpoint=str(file)))
    check(bigger, file)
    bigger.init_weights()
    assert torch.equal(bigger.pos_embed[:, 0], vit_of(file)['pos_embed'][:, 0])  # the class position is not resized
    for positions in (torch.zeros(1, 16, 16), torch.zeros(1, 17, 24)):
        other = save(tmp_path / 'other.pth', {**vit().state_dict(), 'pos_embed': positions})
        with pytest.raises(ValueError, match='pos_embed is'):
            check(vit(), other)


def vit_of(path):
    return torch.load(path, weights_only=True)['state_dict']


def test_prefix(tmp_path):
    weights = {f'backbone.{name}': value for name, value in vit().state_dict().items()}
    whole = save(tmp_path / 'detector.pth', {**weights, 'head.weight': torch.zeros(1)})
    check(vit(), whole, prefix='backbone.')
    with pytest.raises(ValueError, match=r'missing: cls_token.*unexpected: backbone\.cls_token'):
        check(vit(), whole)


SWIN = dict(embed_dims=8, depths=[1, 1, 2], num_heads=[1, 2, 4])
GN = dict(type='GN', num_groups=8)
MMSEG_SWIN = dict(**SWIN, strides=(4, 2, 2), out_indices=(0, 1, 2))
LOADERS = {
    'mmpretrain ViT': lambda **kwargs: vit(**kwargs),
    'mmpretrain Swin': lambda **kwargs: SwinTransformer(SWIN, out_indices=(0, 1, 2), **kwargs),
    'mmpretrain ResNet': lambda **kwargs: ResNet(50, norm_cfg=GN, **kwargs),
    'StaticResNet': lambda **kwargs: StaticResNet([1, 2], 24, 32, stem_channels=16, norm_cfg=GN, **kwargs),
    'mmseg Swin': lambda **kwargs: mmseg_backbones.SwinTransformer(**MMSEG_SWIN, **kwargs),
    'mmseg ResNet': lambda **kwargs: mmseg_backbones.ResNet(50, norm_cfg=GN, **kwargs),
    'mmdet Swin': lambda **kwargs: mmdet_backbones.SwinTransformer(**MMSEG_SWIN, **kwargs),
    'mmdet ResNet': lambda **kwargs: mmdet_backbones.ResNet(50, norm_cfg=GN, **kwargs),
}


@pytest.mark.parametrize('kind', LOADERS)
def test_what_fits_is_loaded(kind, tmp_path):
    """After ``init_weights`` every weight is the file's, with the loaders of all toolboxes."""
    torch.manual_seed(0)
    prefix = 'backbone.' if kind == 'mmdet Swin' else ''
    weights = {
        name: torch.randn_like(value) if value.is_floating_point() else value
        for name, value in LOADERS[kind]().state_dict().items()
    }
    path = save(tmp_path / 'x.pth', {prefix + name: value for name, value in weights.items()})
    backbone = LOADERS[kind](init_cfg=ConfigDict(type='Pretrained', checkpoint=str(path)))
    check(backbone, path)
    backbone.init_weights()
    loaded = backbone.state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


def test_swin_of_mmdet_wants_a_prefix(tmp_path):
    path = save(tmp_path / 'x.pth', LOADERS['mmseg Swin']().state_dict(), subnet='8x2', format='mmseg')
    check(LOADERS['mmseg Swin'](), path)
    with pytest.raises(ValueError, match=r'--format mmseg.*missing: patch_embed.*skipped by its loader: patch_embed'):
        check(LOADERS['mmdet Swin'](), path)
    prefixed = save(tmp_path / 'y.pth', {f'backbone.{k}': v for k, v in vit_of(path).items()})
    check(LOADERS['mmdet Swin'](), prefixed)
    check(LOADERS['mmseg Swin'](), prefixed)

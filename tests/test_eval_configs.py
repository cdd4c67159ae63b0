"""The recipes in ``configs/eval/``: the paper's numbers, and that each one trains, shrunk, from an extracted file."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from poa_mm.engine import BackboneCheckHook
from poa_mm.extraction import build_backbone, export_subnet
from poa_mm.launch import load_config
from poa_mm.registry import MODELS
from poa_mm.reporting.trained import make_record

CONFIGS = Path(__file__).parents[1] / 'configs' / 'eval'
ALL = sorted(path.stem for path in CONFIGS.glob('*.py') if 'small' not in path.stem)
# Elastic networks of which a tiny sub-network is extracted, and what the config's static one shrinks to.
ELASTIC = {
    'VisionTransformer': (
        dict(
            type='ElasticVisionTransformer', img_size=32, patch_size=16, widths=(16, 32, 16), depths=(2, 3), head_dim=8
        ),
        '16x2',
    ),
    'SwinTransformer': (
        dict(
            type='ElasticSwinTransformer',
            img_size=32,
            widths=(8, 16, 8),
            depths=(1, 2),
            stage_depths=(1, 1, None, 1),
            head_dim=4,
            window_size=2,
        ),
        '8x1',
    ),
    'ResNet': (
        dict(
            type='ElasticResNet',
            widths=(8, 16, 8),
            depths=((3, 3), (4, 4), (6, 7), (3, 3)),
            stem_channels=8,
            out_channels=32,
            num_groups=4,
        ),
        '8x3-4-6-3',
    ),
}
# The networks of small data are small enough as they are.
SMALL = dict(vit=('poa_vit_small', '96x4'), swin=('poa_swin_small', '24x2'), resnet=('poa_resnet_small', '16x1-1-2'))


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Tiny extracted networks, a checkpoint with heads, and two classes of four images."""
    folder = tmp_path_factory.mktemp('eval')
    for kind, (config, subnet) in ELASTIC.items():
        torch.manual_seed(0)
        backbone = MODELS.build({'_scope_': 'poa_mm', **config}).eval()
        export_subnet(backbone, subnet, folder / kind, {})
        head = dict(type='MultiPrototypeHead', embed_dims=backbone.feature_dims(), num_prototypes=(8, 8))
        head = MODELS.build({'_scope_': 'poa_mm', **head, 'hidden_dims': 24, 'bottleneck_dims': 8})
        weights = {f'teacher.head.{name}': value for name, value in head.state_dict().items()}
        torch.save(dict(meta={}, state_dict=weights), folder / kind / 'heads.pth')
    for kind, (config, subnet) in SMALL.items():
        cfg = Config.fromfile(CONFIGS.parent / f'{config}.py')
        torch.manual_seed(0)
        export_subnet(build_backbone(cfg), subnet, folder / 'small', {})
        weights = {
            'teacher.head.heads.0.mlp.0.weight': torch.randn(512, build_backbone(cfg).feature_dims()),
            'teacher.head.heads.0.mlp.0.bias': torch.randn(512),
        }
        torch.save(dict(meta={}, state_dict=weights), folder / 'small' / f'{kind}.pth')
    rng = np.random.default_rng(0)
    for split in ('', 'train', 'val'):
        for label in 'ab':
            (folder / ('small_images' if split else 'images') / split / label).mkdir(parents=True)
            for i in range(4):
                pixels = rng.integers(0, 256, (40, 44, 3), dtype=np.uint8)
                cv2.imwrite(
                    str(folder / ('small_images' if split else 'images') / split / label / f'{label}{i}.png'), pixels
                )
    return folder


def shrink(cfg, place, folder):
    """The recipe with a tiny network, tiny images and one step; everything else as it is."""
    kind = cfg.model.backbone.type.rpartition('.')[2]
    config, subnet = ELASTIC[kind]
    static = torch.load(place / kind / f'{subnet}.pth', weights_only=True)['meta']['config']
    own = cfg.model.backbone
    own.update({k: v for k, v in static.items() if k not in ('type', 'out_indices', 'drop_path_rate')})
    own.init_cfg.checkpoint = str(place / kind / f'{subnet}.pth')
    dims = {'VisionTransformer': 16, 'SwinTransformer': 64, 'ResNet': 64 + 128 + 256}[kind]
    cfg.model.head.num_classes = cfg.model.data_preprocessor.num_classes = 2
    neck = cfg.model.get('neck') or {}
    if neck.get('type') == 'poa_mm.ProjectionLayer':
        dims = 256 if kind == 'ResNet' else dims
        neck.update(in_channels=dims, hidden_dims=24, checkpoint=str(place / kind / 'heads.pth'))
        dims = 24
    cfg.model.head.in_channels = dims
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg[name]
        inner = loader.dataset.get('dataset', loader.dataset)
        pipeline = [t for t in inner.pipeline if t.type != 'LoadImageFromFile']
        for transform in pipeline:
            if transform.type == 'RandomResizedCrop':
                transform.scale = 32
            elif transform.type == 'ResizeEdge':
                transform.scale = 36
            elif transform.type == 'CenterCrop':
                transform.crop_size = 32
        images = dict(
            type='CustomDataset',
            data_root=str(place / 'images'),
            pipeline=[dict(type='LoadImageFromFile'), *pipeline],
        )
        if 'dataset' in loader.dataset:
            loader.dataset.dataset = images
            loader.dataset.fraction = 0.5
        else:
            loader.dataset = images
        loader.update(batch_size=4, num_workers=0, persistent_workers=False)
    cfg.val_evaluator.topk = cfg.test_evaluator.topk = (1,)
    cfg.optim_wrapper.lr_scaling.batch_size = 4
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1, val_interval=1)
    cfg.work_dir, cfg.log_level = str(folder), 'ERROR'


@pytest.mark.parametrize('name', ALL)
def test_one_epoch_of_every_recipe(name, place, tmp_path):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    shrink(cfg, place, tmp_path)
    cfg.experiment_name = name
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    kind = cfg.model.backbone.type.rpartition('.')[2]
    saved = torch.load(place / kind / f'{ELASTIC[kind][1]}.pth', weights_only=True)['state_dict']
    own = runner.model.backbone.state_dict()
    loaded = [key for key in own if key in saved and torch.equal(own[key], saved[key])]
    assert len(loaded) == len(own) - sum('relative_position_index' in k and k not in saved for k in own)
    runner.train()
    assert runner.optim_wrapper.skipped_steps == 0 and runner.iter >= 1
    assert np.isfinite(runner.message_hub.get_scalar('train/loss').current())
    assert 0 <= runner.message_hub.get_scalar('val/accuracy/top1').current() <= 100


@pytest.mark.parametrize('kind', SMALL)
@pytest.mark.parametrize('recipe', ['finetune', 'semi_10percent'])
def test_small_recipes_take_what_is_extracted(kind, recipe, place, tmp_path):
    """As they are, but for the data and the number of epochs; the check of the file lets it pass."""
    checkpoint = place / 'small' / f'{SMALL[kind][1]}.pth'
    options = {'data_root': str(place / 'small_images'), 'model.backbone.init_cfg.checkpoint': str(checkpoint)}
    if recipe != 'finetune':
        options['model.neck.checkpoint'] = str(place / 'small' / f'{kind}.pth')
    cfg = load_config(str(CONFIGS / f'{recipe}_{kind}_small.py'), options, str(tmp_path), 'none')
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    assert cfg.train_dataloader.dataset.fraction == (1 if recipe == 'finetune' else 0.1)
    cfg.optim_wrapper.lr_scaling.batch_size, cfg.log_level = 2, 'ERROR'
    cfg.experiment_name = f'{recipe} {kind}'
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.optim_wrapper.skipped_steps == 0
    assert 0 <= runner.message_hub.get_scalar('val/accuracy/top1').current() <= 100
    record = make_record(runner, str(tmp_path / 'epoch_1.pth'), {'accuracy/top1': 50.0}, 1.0)
    (result,) = record['results']
    assert record['protocol']['name'] == ('finetune' if recipe == 'finetune' else 'semi')
    assert (result['kind'], result['name'], record['pretrained']['file']) == (
        'pretrained',
        SMALL[kind][1],
        str(checkpoint),
    )
    depth = result['depth'] if kind != 'resnet' else '-'.join(map(str, result['depth']))
    assert f'{result["width"]}x{depth}' == SMALL[kind][1]
    assert record['data']['val'] == dict(source=f'CustomDataset {place}/small_images/val', images=8)
    cfg.model.backbone.init_cfg, cfg.experiment_name = None, f'{recipe} {kind} from scratch'
    scratch = Runner.from_cfg(cfg)
    BackboneCheckHook().before_run(scratch)
    record = make_record(scratch, 'nowhere.pth', {'accuracy/top1': 50.0}, 1.0)
    (result,) = record['results']
    assert (result['kind'], result['name'], record['pretrained']) == ('from scratch', SMALL[kind][1], None)


# Peak lr for the base batch, layer decay, epochs, drop path, size of the feature, weight decay.
FINETUNE = {
    'finetune_vits': (0.002, 0.55, 200, 0.1, 384),
    'finetune_vitb': (0.0007, 0.4, 100, 0.2, 768),
    'finetune_vitl': (0.0018, 0.6, 50, 0.2, 1024),
    'finetune_swint': (0.0014, 0.6, 200, 0.1, 768),
    'finetune_swins': (0.001, 0.4, 100, 0.2, 768),
    'finetune_swinb': (0.0007, 0.55, 50, 0.2, 1024),
    'finetune_resnet50': (0.0014, 0.6, 100, None, 3584),
    'finetune_resnet101': (0.001, 0.4, 100, None, 3584),
    'finetune_resnet152': (0.0007, 0.45, 100, None, 3584),
}


@pytest.mark.parametrize('name', FINETUNE)
def test_numbers_of_fine_tuning(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    lr, decay, epochs, drop_path, dims = FINETUNE[name]
    optim = cfg.optim_wrapper
    assert (optim.optimizer.lr, optim.paramwise_cfg.layer_decay_rate, cfg.train_cfg.max_epochs) == (lr, decay, epochs)
    assert cfg.model.backbone.get('drop_path_rate') == drop_path and cfg.model.head.in_channels == dims
    assert optim.lr_scaling == dict(rule='linear', batch_size=cfg.train_dataloader.batch_size, base_batch_size=1024)
    assert optim.optimizer.weight_decay == 0.05 and cfg.param_scheduler[1].eta_min == 1e-6
    assert cfg.param_scheduler[0].end == epochs // 10
    assert [augment.alpha for augment in cfg.model.train_cfg.augments] == [0.8, 1.0]
    assert cfg.model.head.loss.label_smooth_val == 0.1
    erasing = next(t for t in cfg.train_dataloader.dataset.pipeline if t.type == 'RandomErasing')
    assert erasing.erase_prob == 0.25


@pytest.mark.parametrize('name', FINETUNE)
def test_networks_are_what_extraction_gives(name, swin_on_meta):
    """Full size: the recipe's network is the one that the extracted file describes."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    kind = cfg.model.backbone.type.rpartition('.')[2]
    named = {'finetune_resnet50': 'R50', 'finetune_resnet101': 'R101', 'finetune_resnet152': 'R152'}
    with torch.device('meta'):
        backbone = MODELS.build(dict(_scope_='poa_mm', type=f'Elastic{kind}'))
        static = backbone.static_config(named.get(name, name[-1].upper()))
        mine, theirs = (
            MODELS.build({'_scope_': 'mmpretrain', **c}) for c in ({**cfg.model.backbone, 'init_cfg': None}, static)
        )
    ours, extracted = ({k: v.shape for k, v in m.state_dict().items()} for m in (mine, theirs))
    assert ours == extracted


def test_semi_supervised_numbers():
    for name, fraction in {'semi_1percent_vits': 0.01, 'semi_10percent_resnet50': 0.1}.items():
        cfg = Config.fromfile(CONFIGS / f'{name}.py')
        assert cfg.train_dataloader.dataset.fraction == fraction and cfg.train_cfg.max_epochs == 1000
        assert cfg.optim_wrapper.optimizer.lr == 5e-6 and cfg.optim_wrapper.lr_scaling.base_batch_size == 512

"""The recipes in ``configs/coco/``: the paper's numbers, full-size networks, and that each one trains, shrunk."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing

from poa_mm.config import load_config
from poa_mm.elastic import collect_slice_rules, slice_state_dict
from poa_mm.launch import enable_amp
from poa_mm.registry import MODELS
from tests.helpers import program_values as program

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs' / 'coco'
ALL = sorted(path.stem for path in CONFIGS.glob('*.py'))
FULL = [name for name in ALL if name.endswith('x')]


pytestmark = pytest.mark.usefixtures('configs_are_not_printed')


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    """COCO's layout and categories with four images of two rectangles for training, and two for validation."""
    from mmdet.datasets import CocoDataset

    root = tmp_path_factory.mktemp('coco')
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(CocoDataset.METAINFO['classes'])]
    rng = np.random.default_rng(0)
    (root / 'annotations').mkdir()
    for split, count in (('train2017', 4), ('val2017', 2)):
        (root / split).mkdir()
        images, annotations = [], []
        for i in range(count):
            pixels = rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)
            for x, y, w, h in ((5, 8, 40, 30), (30, 20, 45, 40)):
                category = len(annotations) % 3 + 1
                pixels[y : y + h, x : x + w] = 60 * category
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=i + 1,
                        category_id=category,
                        bbox=[x, y, w, h],
                        area=w * h,
                        iscrowd=0,
                        segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
                    )
                )
            cv2.imwrite(str(root / split / f'{i}.jpg'), pixels)
            images.append(dict(id=i + 1, file_name=f'{i}.jpg', width=80, height=64))
        contents = dict(images=images, annotations=annotations, categories=categories)
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(contents))
    return root


def shrink_backbone(backbone):
    """A narrow network with all its blocks; gives the channels of its maps."""
    kind = backbone.type.rpartition('.')[2]
    if kind == 'VisionTransformer':
        backbone.arch.update(embed_dims=16, num_heads=2, feedforward_channels=32)
        backbone.img_size = backbone.patch_size * 4
        return [16] * 4
    if kind == 'SwinTransformer':
        backbone.update(embed_dims=8, num_heads=[1, 2, 2, 4][: len(backbone.depths)], window_size=3)
        return [8 * 2**i for i in range(len(backbone.depths))]
    backbone.norm_cfg.num_groups = 4
    if kind == 'StaticResNet':
        backbone.update(mid_channels=8, out_channels=32, stem_channels=8)
        return [32, 64, 128]
    backbone.base_channels = 8
    return [32, 64, 128, 256]


def shrink_transforms(node, factor):
    """Sizes of images in a pipeline, divided."""

    def divide(value):
        return [divide(v) for v in value] if isinstance(value, list) else tuple(v // factor for v in value)

    if isinstance(node, dict):
        for key in {'scale', 'scales', 'crop_size'} & node.keys():
            node[key] = divide(node[key])
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            shrink_transforms(child, factor)


def shrink(name, coco, folder):
    """The recipe with narrow networks and small images, one step; everything else as it is."""
    cfg = load_config(str(CONFIGS / f'{name}.py'), {'data_root': str(coco)}, str(folder), 'none')
    model = cfg.model
    channels = shrink_backbone(model.backbone)
    neck = model.neck[-1] if isinstance(model.neck, list) else model.neck
    neck.update(in_channels=channels, out_channels=16)
    if isinstance(model.neck, list):
        model.neck[0].embed_dims = 16
    model.rpn_head.update(in_channels=16, feat_channels=16)
    roi = model.roi_head
    for head in roi.bbox_head if isinstance(roi.bbox_head, list) else [roi.bbox_head]:
        head.update(in_channels=16, fc_out_channels=16)
        if 'conv_out_channels' in head:
            head.conv_out_channels = 16
    roi.mask_head.update(in_channels=16, conv_out_channels=16)
    roi.bbox_roi_extractor.out_channels = roi.mask_roi_extractor.out_channels = 16
    model.train_cfg.rpn_proposal.update(nms_pre=50, max_per_img=20)
    stages = model.train_cfg.rcnn
    for stage in stages if isinstance(stages, list) else [stages]:
        stage.sampler.num = 16
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[key].update(num_workers=0, persistent_workers=False)
        shrink_transforms(cfg[key].dataset.pipeline, 8 if name in FULL else 4)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, val_interval=10)
    cfg.default_hooks.checkpoint = None
    cfg.experiment_name, cfg.log_level = f'{name}_{folder.name}', 'ERROR'
    return cfg


def save_backbone(cfg, folder):
    """Weights for the shrunk backbone, as tools/extract.py would write them."""
    torch.manual_seed(1)
    backbone = MODELS.build({'_scope_': 'mmdet', **cfg.model.backbone, 'init_cfg': None})
    weights = {name: (torch.rand_like(value.float()) / 10).to(value) for name, value in backbone.state_dict().items()}
    # mmdet's Swin reads these only.
    prefix = 'backbone.' if cfg.model.backbone.type == 'mmdet.SwinTransformer' else ''
    torch.save(dict(state_dict={prefix + name: value for name, value in weights.items()}), folder / 'backbone.pth')
    cfg.model.backbone.init_cfg.checkpoint = str(folder / 'backbone.pth')
    return weights


def last_loss(runner):
    return runner.message_hub.get_scalar('train/loss').current()


@pytest.mark.parametrize('name', ALL)
def test_every_recipe_trains_from_a_file(name, coco, tmp_path):
    cfg = shrink(name, coco, tmp_path)
    cfg.param_scheduler[0].start_factor = 1.0  # a step that changes fp32 numbers
    weights = save_backbone(cfg, tmp_path) if cfg.model.backbone.init_cfg else {}
    runner = Runner.from_cfg(cfg)
    seen = {}
    init_weights = runner.model.init_weights

    def init_and_look():
        init_weights()
        seen.update({k: v.clone() for k, v in runner.model.backbone.state_dict().items()})

    runner.model.init_weights = init_and_look
    runner.train()
    assert runner.iter == 1 and np.isfinite(last_loss(runner))
    assert all(seen[k].equal(v) for k, v in weights.items())
    unchanged = [k for k, v in runner.model.backbone.named_parameters() if v.equal(seen[k])]
    assert len(unchanged) < 0.1 * len(seen), unchanged
    rates = {group['lr'] for group in runner.optim_wrapper.param_groups}
    assert len(rates) >= (5 if cfg.optim_wrapper.paramwise_cfg.layer_decay_rate != 1 else 1)


# lr, layer decay, drop path; the paper's for ViT-S and ViT-B.
NUMBERS = {
    'vits': (3e-4, 0.7, 0.1),
    'vitb': (1e-4, 0.65, 0.2),
    'vitl': (1e-4, 0.8, 0.3),
    'swint': (1e-4, 0.8, 0.1),
    'swins': (1e-4, 0.85, 0.2),
    'swinb': (1e-4, 0.85, 0.3),
    'r50': (1e-4, 0.9, None),
    'r101': (1e-4, 0.95, None),
    'r152': (1e-4, 0.95, None),
}


def test_there_are_eighteen():
    assert set(FULL) == {f'cascade_mask_rcnn_{n}_3x' for n in NUMBERS} | {f'mask_rcnn_{n}_1x' for n in NUMBERS}


@pytest.mark.parametrize('name', program.COCO_GRID)
def test_positions_follow_the_program(name):
    backbone = Config.fromfile(CONFIGS / f'{name}.py').model.backbone
    assert tuple(side // 16 for side in backbone.img_size) == program.COCO_GRID[name]
    with torch.device('meta'):
        positions = MODELS.build({'_scope_': 'mmdet', **backbone, 'init_cfg': None}).pos_embed
    rows, columns = program.COCO_GRID[name]
    assert positions.shape[1] == 1 + rows * columns


@pytest.mark.parametrize('name', FULL)
def test_numbers(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    optim = cfg.optim_wrapper
    numbers = (optim.optimizer.lr, optim.paramwise_cfg.layer_decay_rate, cfg.model.backbone.get('drop_path_rate'))
    assert numbers == NUMBERS[name.split('_')[-2]]
    assert optim.optimizer.type == 'AdamW' and optim.optimizer.weight_decay == 0.05
    assert optim.lr_scaling == dict(rule='linear', batch_size=cfg.train_dataloader.batch_size, base_batch_size=16)
    assert cfg.train_dataloader.batch_size * 8 == 16 and cfg.param_scheduler[0].end == 500
    epochs, steps = (36, [27, 33]) if name.endswith('3x') else (12, [8, 11])
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[1].end == epochs
    assert cfg.param_scheduler[1].milestones == steps
    plain, cropped = next(t for t in cfg.train_dataloader.dataset.pipeline if t.type == 'RandomChoice').transforms
    assert [s for s, _ in plain[0].scales] == list(range(480, 801, 32)) and cropped[1].crop_size == (384, 600)
    if name.startswith('cascade'):
        for head in cfg.model.roi_head.bbox_head:
            assert (head.num_shared_convs, head.num_shared_fcs, head.norm_cfg.type) == (4, 1, 'SyncBN')
            assert head.loss_bbox == dict(type='GIoULoss', loss_weight=10.0) and head.reg_decoded_bbox
    if 'vit' in name:
        depth = cfg.model.backbone.arch.num_layers
        assert [i + 1 for i in cfg.model.backbone.out_indices] == [depth // 12 * b for b in (4, 6, 8, 12)]


@pytest.mark.parametrize('name', FULL)
def test_data_root_moves_all_data(name):
    cfg = load_config(str(CONFIGS / f'{name}.py'), {'data_root': '/elsewhere'}, None, 'none')
    text = json.dumps(cfg.to_dict(), default=str)
    assert 'data/coco' not in text and text.count('/elsewhere') >= 6


@pytest.mark.parametrize('name', FULL)
def test_full_network_is_what_extraction_gives(name, swin_on_meta):
    """As written, on no device: the backbone has the weights of the sub-network, and the detector can be built."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    short = name.split('_')[-2]
    kind = dict(v='VisionTransformer', s='SwinTransformer', r='ResNet')[short[0]]
    with torch.device('meta'):
        elastic = MODELS.build(dict(_scope_='poa_mm', type=f'Elastic{kind}'))
        detector = MODELS.build({'_scope_': 'mmdet', **cfg.model})
    subnet = elastic.space.parse(short.upper() if kind == 'ResNet' else short[-1].upper())
    weights = {k: p for k, p in elastic.named_parameters() if k not in elastic.pretrain_only}
    extracted = slice_state_dict(weights, collect_slice_rules(elastic), elastic.space, subnet, elastic.block_prefixes)
    mine = {k: v.shape for k, v in detector.backbone.named_parameters()}
    positions = mine.pop('pos_embed', None)
    rows, columns = program.COCO_GRID.get(name, (50, 50))
    assert positions is None or positions == (1, rows * columns + 1, mine['cls_token'][-1])
    for key, shape in mine.items():
        assert extracted[key].shape == shape, key
    rest = extracted.keys() - mine.keys() - {'pos_embed'}
    assert all(key.startswith(('ln1', 'norm')) for key in rest)


# --- gradient checkpointing and mixed precision ---
@pytest.mark.parametrize('name', ['mask_rcnn_vits_1x', 'mask_rcnn_swint_1x', 'mask_rcnn_r50_1x'])
def test_checkpointed_gradients(name, coco, tmp_path):
    cfg = shrink(name, coco, tmp_path)
    backbone = {'_scope_': 'mmdet', **cfg.model.backbone, 'init_cfg': None}
    if 'r50' not in name:
        backbone['drop_path_rate'] = 0.0
    torch.manual_seed(0)
    plain = MODELS.build(backbone)
    saving = MODELS.build({**backbone, **({} if 'vit' in name else dict(with_cp=True))})
    saving.load_state_dict(plain.state_dict())
    if 'vit' in name:
        turn_on_activation_checkpointing(saving, [f'layers.{i}' for i in range(12)])
    images = torch.randn(1, 3, 64, 96)
    kept = []
    for network in (plain, saving):
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept[-1].append(t.numel()) or t, lambda t: t):
            kept.append([])
            loss = sum(m.square().mean() for m in network(images))
        loss.backward()
    assert sum(kept[1]) < 0.5 * sum(kept[0])
    for (key, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, msg=lambda text, key=key: f'{key}: {text}')


@pytest.mark.parametrize('name', ['mask_rcnn_vits_1x', 'cascade_mask_rcnn_swint_3x'])
def test_amp_on_the_cpu(name, coco, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    cfg = shrink(name, coco, tmp_path)
    cfg.model.backbone.init_cfg = None
    enable_amp(cfg)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.optim_wrapper.amp_dtype == torch.bfloat16 and runner.optim_wrapper.skipped_steps == 0
    assert np.isfinite(last_loss(runner))


# --- the commands ---
def command(monkeypatch, script, *arguments):
    monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools' / script), run_name='__main__')


def test_train_then_test_and_draw(coco, tmp_path, monkeypatch):
    config, options = CONFIGS / 'mask_rcnn_resnet_small.py', ('--cfg-options', f'data_root={coco}')
    options += ('model.backbone.init_cfg=None', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2')
    options += ('default_hooks.checkpoint.interval=2', 'train_dataloader.batch_size=2', 'log_level=ERROR')
    options += ('optim_wrapper.lr_scaling.batch_size=2',)
    command(monkeypatch, 'train.py', config, '--work-dir', tmp_path / 'run', *options)
    # An untrained network is sure of nothing.
    options += ('default_hooks.visualization.score_thr=0.0', 'model.test_cfg.rcnn.score_thr=0.0')
    shown, metrics = tmp_path / 'shown', tmp_path / 'metrics.json'
    checkpoint = tmp_path / 'run' / 'iter_2.pth'
    flags = ('--work-dir', tmp_path / 'tested', '--show-dir', shown, '--out', metrics)
    command(monkeypatch, 'test.py', config, checkpoint, *flags, *options)
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= json.loads(metrics.read_text())['metrics'].keys()
    assert sorted(path.name for path in shown.iterdir()) == ['000000_0.png', '000001_1.png']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['train_dataloader.dataset.ann_file=annotations/none.json'], 'none.json'),
        (['val_evaluator.ann_file=none.json'], 'none.json'),
        (["train_dataloader.dataset.metainfo.classes=('person','cat')"], 'not classes of its dataset'),
        (["train_dataloader.dataset.metainfo.classes=('unicorn',)"], 'has no image with an object of the 1 classes'),
        (["train_dataloader.dataset.metainfo.classes=('person','unicorn')"], "no category 'unicorn'"),
        (['model.roi_head.bbox_head.num_classes=7'], 'bbox_head has num_classes=7, but the dataset'),
    ],
)
def test_mistakes_end_in_one_sentence(options, message, coco, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Runner, '_init_model_weights', lambda self: pytest.fail('training began'))
    options = ['--cfg-options', f'data_root={coco}', 'model.backbone.init_cfg=None', 'log_level=ERROR', *options]
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, 'train.py', CONFIGS / 'mask_rcnn_resnet_small.py', '--work-dir', tmp_path, *options)
    assert stopped.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]

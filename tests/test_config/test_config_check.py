"""Unknown keys and types anywhere in a config are one sentence; no shipped config raises a false alarm."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook

from poa_mm.config import load_config
from poa_mm.config.config_check import check_config, keywords
from poa_mm.errors import UserError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
LEAVES = [path for path in sorted(CONFIGS.rglob('*.py')) if path.parent.name != '_base_']


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_no_false_alarm(path):
    check_config(load_config(str(path), {}, None, 'none'))


VIT, DETECTOR = 'poa_vit_small.py', 'coco/mask_rcnn_vits_1x.py'
SEGMENTOR, CLASSIFIER = 'ade20k/upernet_swins_160k.py', 'eval/finetune_vits.py'


@pytest.mark.parametrize(
    ('config', 'option', 'message'),
    [
        (VIT, 'model.backbone.width=3', r'model\.backbone\.width is not an argument of ElasticVisionTransformer; near'),
        (VIT, 'model.student_tmp=3', r'model\.student_tmp is not .* POA; near are student_temp'),
        (VIT, 'model.backbone.type=ElasticVisionTransformr', r'model\.backbone\.type: .* near are ElasticVisionTransf'),
        (VIT, 'train_dataloader.num_worker=3', r'train_dataloader\.num_worker is not .*DataLoader; near are num_wor'),
        (VIT, 'train_dataloader.sampler.type=Nothing', r"sampler\.type: there is no 'Nothing'"),
        (VIT, 'train_dataloader.sampler.shufle=True', r'sampler\.shufle is not an argument of SeededInfiniteSampler'),
        (
            VIT,
            'train_dataloader.collate_fn.mask_rati=3',
            r'mask_rati is not an argument of multi_crop_collate; near are mask_',
        ),
        (
            'eval/finetune_vit_small.py',
            'train_dataloader.dataset.dataset.pipeline.0.to_float=1',
            r'0\.to_float is not .* near are to_float32',
        ),
        (VIT, 'train_dataloader.dataset.dataset.with_labels=1', r'with_labels is not .* near are with_label'),
        (VIT, 'optim_wrapper.clip_grads=3', r'optim_wrapper\.clip_grads is not .*PoaOptimWrapper; near are clip_grad'),
        (VIT, 'optim_wrapper.optimizer.weight_deca=3', r'optimizer\.weight_deca is not an argument of AdamW; near'),
        (VIT, 'optim_wrapper.constructor=LayerDecay', r"optim_wrapper\.constructor: there is no 'LayerDecay'"),
        (
            VIT,
            'param_scheduler.0.warmupp=3',
            r'param_scheduler\.0\.warmupp is not an argument of CosineLR; near are warm',
        ),
        (VIT, 'default_hooks.checkpoint.intervall=3', r'checkpoint\.intervall is not .* near are interval'),
        (VIT, 'train_cfg.max_itres=3', r'train_cfg\.max_itres is not .*Loop; near are max_iters'),
        (VIT, 'randomness.sead=3', r'randomness\.sead is not an argument of set_randomness; near are seed'),
        (
            VIT,
            'visualizer.vis_backends.0.type=TensorboardBackend',
            r"there is no 'TensorboardBackend'; near are Tensorb",
        ),
        (
            DETECTOR,
            'model.rpn_head.in_channel=3',
            r'rpn_head\.in_channel is not an argument of RPNHead; near are in_ch',
        ),
        (
            DETECTOR,
            'model.train_cfg.rpn.assigner.pos_iou=3',
            r'assigner\.pos_iou is not .*MaxIoUAssigner; near are pos',
        ),
        (DETECTOR, 'val_evaluator.metrics=bbox', r'val_evaluator\.metrics is not an argument of CocoMetric; near are'),
        (SEGMENTOR, 'model.decode_head.num_class=3', r'decode_head\.num_class is not .*UPerHead; near are num_classes'),
        (
            CLASSIFIER,
            'model.head.loss.label_smooth=1',
            r'label_smooth is not .*LabelSmoothLoss; near are label_smooth_',
        ),
    ],
)
def test_mistakes(config, option, message):
    key, _, value = option.partition('=')
    with pytest.raises(UserError, match=message):
        check_config(load_config(str(CONFIGS / config), {key: value}, None, 'none'))


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('optim_wrapper', 3, 'optim_wrapper must be a dict, got 3'),
        ('visualizer', 'text', "visualizer must be a dict, got 'text'"),
        ('val_dataloader', [3], r'val_dataloader must be a dict, got \[3\]'),
        ('randomness', 3, 'randomness must be a dict, got 3'),
        ('custom_hooks', [3], r'custom_hooks must be a dict or a list of dicts, got \[3\]'),
        ('default_hooks.checkpoint', 3, r'default_hooks\.checkpoint must be a dict or None, got 3'),
    ],
)
def test_sections_are_dicts_before_anything_reads_them(key, value, message):
    with pytest.raises(UserError, match=message):
        load_config(str(CONFIGS / VIT), {key: value}, None, 'none')


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('optim_wrapper.optimizer', r'optim_wrapper\.optimizer must be a dict, got 3'),
        ('train_dataloader.dataset', r'train_dataloader\.dataset must be a dict, got 3'),
        ('visualizer.vis_backends', r'vis_backends must be a list of dicts, got 3'),
        ('env_cfg.dist_cfg', r'env_cfg\.dist_cfg must be a dict, got 3'),
        ('env_cfg.mp_cfg', r'env_cfg\.mp_cfg must be a dict, got 3'),
    ],
)
def test_parts_that_are_read_before_they_are_built(option, message):
    with pytest.raises(UserError, match=message):
        check_config(load_config(str(CONFIGS / VIT), {option: 3}, None, 'none'))


def test_types_are_ours_without_a_scope():
    with pytest.raises(UserError, match=r'model\.head must be a dict, got 3'):
        check_config(Config(dict(model=dict(type='POA', backbone={}, head=3))))


def test_paramwise_cfg_of_mmengine():
    cfg = dict(optimizer=dict(type='SGD', lr=1), constructor='DefaultOptimWrapperConstructor')
    check_config(Config(dict(optim_wrapper={**cfg, 'paramwise_cfg': dict(norm_decay_mult=0.0, custom_keys={})})))
    with pytest.raises(UserError, match=r'paramwise_cfg\.norm_decay is not read by .* near are norm_decay_mult'):
        check_config(Config(dict(optim_wrapper={**cfg, 'paramwise_cfg': dict(norm_decay=0.0)})))


class Base:
    def __init__(self, base=1):
        pass


class Passes(Base):
    def __init__(self, own, **rest):
        self.popped = rest.pop('popped', None)
        super().__init__(**rest)


class Keeps(Base):
    def __init__(self, own, **rest):
        self.rest = rest
        super().__init__()


class Inherits(Passes):
    pass


def function(a, *, b=1):
    pass


@pytest.mark.parametrize(
    ('target', 'expected'),
    [
        (Base, {'base'}),
        (Passes, {'own', 'popped', 'base'}),
        (Inherits, {'own', 'popped', 'base'}),
        (Keeps, None),
        (function, {'a', 'b'}),
        (lambda **anything: None, None),
        (dict, None),
    ],
)
def test_keywords(target, expected):
    assert keywords(target) == expected


def test_keywords_of_libraries():
    assert {'lr', 'betas', 'fused'} <= keywords(torch.optim.AdamW) and 'learning_rate' not in keywords(
        torch.optim.AdamW
    )
    assert {'interval', 'save_best', 'save_optimizer'} <= keywords(CheckpointHook)

"""The recipes in ``configs/eval/``: the paper's numbers, and that each one trains, shrunk, from an extracted file."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from poa_mm.config import load_config
from poa_mm.engine import BackboneCheckHook
from poa_mm.evaluation.trained import make_record
from poa_mm.extraction import build_backbone, export_subnet
from poa_mm.registry import MODELS
from tests.helpers import program_values as program
from tests.helpers.networks import RESNET_FOUR_STAGES, SWIN_FOUR_STAGES, VIT
from tests.helpers.published import without_checksums, write_published

CONFIGS = Path(__file__).parents[1] / 'configs' / 'eval'
ALL = sorted(path.stem for path in CONFIGS.glob('*.py') if 'small' not in path.stem)
# Elastic networks of which a tiny sub-network is extracted, and what the config's static one shrinks to.
ELASTIC = {
    'VisionTransformer': (
        {**VIT, 'img_size': 32, 'patch_size': 16},
        '16x2',
    ),
    'SwinTransformer': (
        SWIN_FOUR_STAGES,
        '8x1',
    ),
    'ResNet': (
        RESNET_FOUR_STAGES,
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
    for split in ('train', 'val'):
        for label in 'ab':
            (folder / 'small_images' / split / label).mkdir(parents=True)
            for i in range(4):
                pixels = rng.integers(0, 256, (40, 44, 3), dtype=np.uint8)
                cv2.imwrite(str(folder / 'small_images' / split / label / f'{label}{i}.png'), pixels)
    write_published(folder / 'data')
    return folder


def shrink(cfg, place, folder):
    """The recipe with a tiny network and tiny images, 8 of its data set's; everything else as it is."""
    kind = cfg.model.backbone.type.rpartition('.')[2]
    config, subnet = ELASTIC[kind]
    static = torch.load(place / kind / f'{subnet}.pth', weights_only=True)['meta']['config']
    own = cfg.model.backbone
    own.update({k: v for k, v in static.items() if k not in ('type', 'out_indices', 'drop_path_rate')})
    own.init_cfg.checkpoint = str(place / kind / f'{subnet}.pth')
    dims = {'VisionTransformer': 16, 'SwinTransformer': 64, 'ResNet': 64 + 128 + 256}[kind]
    neck = cfg.model.get('neck') or {}
    if neck.get('type') == 'poa_mm.ProjectionLayer':
        dims = 256 if kind == 'ResNet' else dims
        neck.update(in_channels=dims, hidden_dims=24, checkpoint=str(place / kind / 'heads.pth'))
        dims = 24
    cfg.model.head.in_channels = dims
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg[name]
        inner = loader.dataset.get('dataset', loader.dataset)
        inner.data_root, inner.indices = str(place / inner.data_root), 8
        for transform in inner.pipeline:
            if transform.type == 'RandomResizedCrop':
                transform.scale = 32
            elif transform.type == 'ResizeEdge':
                transform.scale = 36
            elif transform.type == 'CenterCrop':
                transform.crop_size = 32
        loader.update(batch_size=4, num_workers=0, persistent_workers=False)
    cfg.optim_wrapper.lr_scaling.batch_size = 4
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1, val_interval=1)
    cfg.work_dir, cfg.log_level = str(folder), 'ERROR'


@pytest.mark.parametrize('name', ALL)
def test_one_epoch_of_every_recipe(name, place, tmp_path, monkeypatch):
    """On data in the layout that the recipe expects; what is red in a file is red in the network's input."""
    without_checksums(monkeypatch)
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    shrink(cfg, place, tmp_path)
    cfg.experiment_name = name
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    kind = cfg.model.backbone.type.rpartition('.')[2]
    saved = torch.load(place / kind / f'{ELASTIC[kind][1]}.pth', weights_only=True)['state_dict']
    saved = {name.removeprefix('backbone.'): value for name, value in saved.items()}
    own = runner.model.backbone.state_dict()
    loaded = [key for key in own if key in saved and torch.equal(own[key], saved[key])]
    assert len(loaded) == len(own) - sum('relative_position_index' in k and k not in saved for k in own)
    runner.train()
    assert runner.optim_wrapper.skipped_steps == 0 and runner.iter >= 1
    preprocessor = runner.model.data_preprocessor
    batch = preprocessor(next(iter(runner.val_dataloader)))['inputs'] * preprocessor.std + preprocessor.mean
    red, green, blue = batch.mean((0, 2, 3))
    assert red > 140 and max(green, blue) < 100
    pipelines = [
        loader.dataset.get('dataset', loader.dataset).pipeline for loader in (cfg.train_dataloader, cfg.val_dataloader)
    ]
    assert pipelines[0][0] == pipelines[1][0]  # read alike
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


def _train_lrs(cfg, epochs):
    """Learning rate of a group without layer decay at the start of each of ``epochs``, and behind the last."""
    from mmengine.optim import OptimWrapper
    from mmengine.registry import PARAM_SCHEDULERS

    lr = cfg.optim_wrapper.optimizer.lr
    wrapper = OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr))
    kept = [{k: v for k, v in s.items() if k != 'convert_to_iter_based'} for s in cfg.param_scheduler]
    schedulers = [PARAM_SCHEDULERS.build(dict(s, optimizer=wrapper)) for s in kept]
    found = []
    for _ in range(epochs + 1):
        found.append(wrapper.param_groups[0]['lr'])
        wrapper.optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return found


def _check_batch(cfg, total):
    assert cfg.optim_wrapper.lr_scaling == dict(
        rule='linear', batch_size=total // program.GPUS, base_batch_size=cfg.optim_wrapper.lr_scaling.base_batch_size
    )
    assert cfg.train_dataloader.batch_size == total // program.GPUS


def _check_augmentation(cfg, pipeline, erasing):
    steps = {step.type: step for step in pipeline}
    augment = steps['RandAugment']
    assert (augment.magnitude_level, augment.magnitude_std) == program.RAND_AUGMENT
    assert steps['RandomErasing'].erase_prob == erasing
    assert [a.alpha for a in cfg.model.train_cfg.augments] == [program.MIXUP, program.CUTMIX]
    assert cfg.model.head.loss.label_smooth_val == program.SMOOTHING
    resize = next(t for t in cfg.test_dataloader.dataset.pipeline if t.type == 'ResizeEdge')
    assert resize.interpolation == program.TEST_INTERPOLATION
    assert cfg.default_hooks.checkpoint.save_best == 'accuracy/top1'


@pytest.mark.parametrize('name', program.FINETUNING)
def test_fine_tuning_follows_the_program(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    total, lr, decay, epochs = program.FINETUNING[name]
    _check_batch(cfg, total)
    assert cfg.optim_wrapper.lr_scaling.base_batch_size == total  # on 8 GPUs the lr stays as it is
    optim = cfg.optim_wrapper
    assert (optim.optimizer.lr, optim.paramwise_cfg.layer_decay_rate, cfg.train_cfg.max_epochs) == (lr, decay, epochs)
    assert (
        optim.optimizer.weight_decay == 0.05 and optim.paramwise_cfg.scaled_lr and optim.paramwise_cfg.fine_tuning_ids
    )
    assert cfg.default_hooks.ema.momentum == pytest.approx(1 - program.WEIGHT_EMA)
    assert cfg.model.backbone.get('drop_path_rate', program.DROP_PATH) == program.DROP_PATH
    assert 'drop_path_rate' in cfg.model.backbone or 'resnet' in name  # mmpretrain's Swin has another default
    _check_augmentation(cfg, cfg.train_dataloader.dataset.pipeline, program.ERASING)
    lrs = _train_lrs(cfg, epochs)
    warmup, full = epochs // 10, program.FINETUNING_COSINE
    assert lrs[warmup] == pytest.approx(lr) == max(lrs)
    progress = (epochs - warmup) / (full - warmup)
    least = program.FINETUNING_MIN_LR
    assert lrs[epochs] == pytest.approx(least + (lr - least) * (1 + math.cos(math.pi * progress)) / 2, abs=0.01 * lr)
    assert cfg.param_scheduler[1].eta_min == least


def test_weight_decay_of_fine_tuning(place, tmp_path):
    """Relative tables are decayed; tokens, positions, a ResNet's stem and all flat parameters are not."""
    free = dict(vit={'cls_token', 'pos_embed'}, swin=set(), resnet={'conv1.weight'})
    for kind, name in dict(vit='finetune_vits', swin='finetune_swint', resnet='finetune_resnet50').items():
        cfg = Config.fromfile(CONFIGS / f'{name}.py')
        shrink(cfg, place, tmp_path)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build({**cfg.model, '_scope_': 'mmpretrain'})
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
        decays = {id(p): g['weight_decay'] > 0 for g in optimizer.param_groups for p in g['params']}
        named = dict(model.backbone.named_parameters())
        assert {n for n, p in named.items() if p.ndim > 1 and not decays[id(p)]} == free[kind]
        assert not any(decays[id(p)] for p in named.values() if p.ndim == 1)


@pytest.mark.parametrize('name', program.FINETUNING)
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


@pytest.mark.parametrize('name', [name for name in ALL if name.startswith('semi')])
def test_few_labels_follow_the_program(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    assert cfg.train_dataloader.dataset.fraction == (0.01 if '_1percent' in name else 0.1)
    _check_batch(cfg, program.SEMI_BATCH)
    assert cfg.optim_wrapper.lr_scaling.base_batch_size == program.SEMI_BATCH
    lrs = _train_lrs(cfg, program.SEMI_EPOCHS)
    assert cfg.train_cfg.max_epochs == program.SEMI_EPOCHS and cfg.optim_wrapper.paramwise_cfg.scaled_lr
    assert cfg.model.backbone.get('drop_path_rate', program.DROP_PATH) == program.DROP_PATH
    assert max(lrs) == pytest.approx(program.SEMI_LR) and lrs[-1] == pytest.approx(program.SEMI_MIN_LR)
    _check_augmentation(cfg, cfg.train_dataloader.dataset.dataset.pipeline, program.ERASING)


@pytest.mark.parametrize('size', [0, 1], ids='SB')
@pytest.mark.parametrize('data', program.TRANSFER)
def test_transfer_follows_the_program(data, size):
    cfg = Config.fromfile(CONFIGS / f'transfer_{data}_vit{"sb"[size]}.py')
    lr, decay = program.TRANSFER[data][size]
    optim = cfg.optim_wrapper
    assert cfg.subnet == 'SB'[size] and optim.lr_scaling.base_batch_size == 512
    assert (optim.optimizer.lr, optim.paramwise_cfg.layer_decay_rate) == (lr, decay)
    assert optim.paramwise_cfg.scaled_lr
    assert cfg.param_scheduler[-1].eta_min == program.TRANSFER_MIN_LR
    assert cfg.default_hooks.ema.momentum == pytest.approx(1 - program.WEIGHT_EMA)
    assert cfg.model.backbone.drop_path_rate == program.DROP_PATH
    sampler = cfg.train_dataloader.sampler
    assert (sampler.type, sampler.num_repeats) == ('RepeatAugSampler', program.REPEATED_AUGMENTATION)
    _check_augmentation(cfg, cfg.train_dataloader.dataset.pipeline, 0.1)
    if data == 'flowers':
        loaders = cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader
        train, val = program.FLOWERS_SPLITS
        assert [loader.dataset.split for loader in loaders] == [train, val, val]


def test_usual_split_of_flowers_is_an_option(tmp_path):
    options = dict(train_split='trainval', val_split='test')
    cfg = load_config(str(CONFIGS / 'transfer_flowers_vits.py'), options, str(tmp_path), 'none')
    loaders = cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader
    assert [loader.dataset.split for loader in loaders] == ['trainval', 'test', 'test']

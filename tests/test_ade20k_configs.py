"""The recipes in ``configs/ade20k/``: the paper's numbers, and that each one trains, shrunk, from an extracted file."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS, DefaultScope, init_default_scope
from mmengine.runner import Runner, turn_on_activation_checkpointing
from mmengine.visualization import Visualizer
from torch import nn

from poa_mm.config import load_config
from poa_mm.extraction import export_subnet
from poa_mm.extraction.formats import network_weights
from poa_mm.launch import enable_amp
from poa_mm.models import FrozenBackbone, ViTPyramid
from poa_mm.registry import MODELS
from tests.helpers import program_values as program
from tests.helpers.networks import RESNET_FOUR_STAGES, SWIN_FOUR_STAGES, VIT

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs' / 'ade20k'
ALL = sorted(path.stem for path in CONFIGS.glob('*.py'))
FULL = [name for name in ALL if name.endswith('_160k')]

# For every family an elastic network, one of its sub-networks, and what makes a recipe's static one that small.
ELASTIC = {
    'vit': (
        {**VIT, 'img_size': 32, 'depths': (4, 6)},
        '24x5',
        dict(
            img_size=32,
            patch_size=8,
            arch=dict(embed_dims=24, num_layers=5, num_heads=3, feedforward_channels=96),
            out_indices=[0, 1, 2, 4],
        ),
        24,
    ),
    'swin': (
        {**SWIN_FOUR_STAGES, 'img_size': 64, 'depths': (1, 3), 'window_size': 7},
        '8x2',
        dict(embed_dims=8, depths=[1, 1, 2, 1], num_heads=[2, 4, 8, 16]),
        [8, 16, 32, 64],
    ),
    'resnet': (
        {**RESNET_FOUR_STAGES, 'num_groups': 8},
        '8x3-4-6-3',
        dict(depth=50, base_channels=8, stem_channels=8, norm_cfg=dict(type='GN', num_groups=8)),
        [32, 64, 128, 256],
    ),
}
# The small recipes are small enough as they are.
SMALL = dict(vit=('poa_vit_small', '192x8'), swin=('poa_swin_small', '48x4'), resnet=('poa_resnet_small', '32x1-2-5'))

pytestmark = pytest.mark.usefixtures('configs_are_not_printed')


def family(name: str) -> str:
    return next(kind for key, kind in dict(vit='vit', swin='swin', resnet='resnet', _r='resnet').items() if key in name)


def segmentor(cfg: dict) -> nn.Module:
    init_default_scope('mmseg')
    return revert_sync_batchnorm(MODELS.build({'_scope_': 'mmseg', **cfg}))


def own_backbone(cfg: Config) -> Config:
    """The config of the network itself, within ``FrozenBackbone`` too."""
    return cfg.model.backbone.get('backbone', cfg.model.backbone)


@pytest.fixture(scope='module')
def place(tmp_path_factory, random_backbone):
    """Extracted networks, and photographs with label maps: the left half is a wall, the right half sky."""
    folder = tmp_path_factory.mktemp('ade')
    for kind, (elastic, subnet, *_) in ELASTIC.items():
        export_subnet(random_backbone(elastic), subnet, folder / kind, {}, format='mmseg')
        config, subnet = SMALL[kind]
        elastic = Config.fromfile(ROOT / 'configs' / f'{config}.py').model.backbone
        export_subnet(random_backbone(elastic), subnet, folder / 'small', {}, format='mmseg')
    rng = np.random.default_rng(0)
    for split, count in dict(training=8, validation=2).items():
        for kind in ('images', 'annotations'):
            (folder / 'data' / kind / split).mkdir(parents=True)
        for i in range(count):
            labels = np.zeros((60, 84), np.uint8)
            labels[:50, :42], labels[:50, 42:] = 1, 3
            image = labels[..., None] * 60 + rng.integers(0, 40, (60, 84, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / 'data' / 'images' / split / f'{i}.jpg'), image)
            cv2.imwrite(str(folder / 'data' / 'annotations' / split / f'{i}.png'), labels)
    return folder


def shrink(name: str, place: Path, work_dir: Path, validate: bool = False, **options) -> Config:
    """The recipe with a tiny network and tiny images; everything else as it is."""
    options = {'data_root': str(place / 'data'), **options}
    cfg = load_config(str(CONFIGS / f'{name}.py'), options, str(work_dir), 'none')
    kind, own = family(name), own_backbone(cfg)
    if name in FULL:
        _, subnet, static, channels = ELASTIC[kind]
        own.update(static)
        own.init_cfg.checkpoint = str(place / kind / f'{subnet}.pth')
        width = channels if isinstance(channels, int) else channels[2]
        cfg.model.decode_head.in_channels = [channels] * 4 if isinstance(channels, int) else channels
        cfg.model.decode_head.channels = 4 * width if 'linear' in name else 16
        if 'linear' not in name:
            cfg.model.auxiliary_head.update(in_channels=width, channels=16)
        if 'neck' in cfg.model:
            cfg.model.neck.embed_dims = width
        cfg.model.test_cfg.update(crop_size=(48, 48), stride=(32, 32))
    else:
        own.init_cfg.checkpoint = str(place / 'small' / Path(own.init_cfg.checkpoint).name)
    if cfg.model.data_preprocessor.size:
        cfg.model.data_preprocessor.size = (48, 48)
    for transform in cfg.train_dataloader.dataset.pipeline:
        if transform.type in ('RandomResize', 'Resize'):
            transform.scale = (240, 60)
        elif transform.type == 'RandomCrop':
            transform.crop_size = (48, 48)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        next(t for t in loader.dataset.pipeline if t.type == 'Resize').scale = (240, 60)
        loader.update(num_workers=0, persistent_workers=False)
        if loader.dataset.get('indices'):
            loader.dataset.indices = 2
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    if cfg.train_dataloader.dataset.get('indices'):
        cfg.train_dataloader.dataset.indices = 4
    cfg.train_cfg.update(max_iters=1, val_interval=10)
    if not validate:  # after the last step, whatever the interval
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.log_level, cfg.experiment_name = 'ERROR', f'{name}_{work_dir.name}'
    return cfg


def saved(cfg: Config) -> dict[str, torch.Tensor]:
    return torch.load(own_backbone(cfg).init_cfg.checkpoint, weights_only=True)['state_dict']


@pytest.mark.parametrize('name', ALL)
def test_one_step_of_every_recipe(name, place, tmp_path):
    cfg = shrink(name, place, tmp_path)
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    backbone = runner.model.backbone
    backbone = backbone.backbone if isinstance(backbone, FrozenBackbone) else backbone
    file = saved(cfg)
    for key, value in backbone.state_dict().items():  # the file's, but for resized positions
        assert torch.equal(value, file[key]) or key == 'pos_embed'
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    gradients = {}
    runner.build_train_loop(cfg.train_cfg)
    for key, parameter in runner.model.named_parameters():
        if parameter.requires_grad:
            parameter.register_hook(lambda gradient, key=key: gradients.update({key: gradient}))
    runner.train()
    assert np.isfinite(runner.message_hub.get_scalar('train/loss').current())
    # Every parameter that is trained has a gradient: DDP needs no search for unused ones.
    assert gradients.keys() == {key for key, p in runner.model.named_parameters() if p.requires_grad}
    after = runner.model.state_dict()
    changed = {key.partition('.')[0] for key in after if not torch.equal(after[key], before[key])}
    heads = {'decode_head', 'auxiliary_head', 'neck'} & {key.partition('.')[0] for key in before}
    assert changed == (heads if 'linear' in name else heads | {'backbone'})


@pytest.mark.parametrize('name', [name for name in ALL if 'linear' in name])
def test_frozen_is_frozen(name, place, tmp_path):
    cfg = shrink(name, place, tmp_path)
    own_backbone(cfg).drop_path_rate = 0.9
    runner = Runner.from_cfg(cfg)
    runner.train()
    backbone = runner.model.train().backbone
    assert not any(module.training for module in backbone.modules())
    assert not any(p.requires_grad or p.grad is not None for p in backbone.parameters())
    trained = {id(p) for group in runner.optim_wrapper.optimizer.param_groups for p in group['params']}
    assert not trained & {id(p) for p in backbone.parameters()}
    assert trained == {id(p) for p in runner.model.decode_head.parameters()}
    file = saved(cfg)
    for key, value in backbone.backbone.state_dict().items():
        assert torch.equal(value, file[key]) or key == 'pos_embed'
    images = torch.randn(1, 3, 48, 48)
    assert all(torch.equal(a, b) for a, b in zip(backbone(images), backbone(images)))


def test_linear_head_is_one_convolution(place, tmp_path):
    model = segmentor(shrink('linear_vits_160k', place, tmp_path).model)
    head = model.decode_head
    assert [type(m) for m in head.modules() if not list(m.children()) and list(m.parameters())] == [nn.Conv2d]
    maps = [torch.randn(2, 24, 6, 5) for _ in range(4)]
    expected = nn.functional.conv2d(torch.cat(maps, dim=1), head.conv_seg.weight, head.conv_seg.bias)
    assert head.dropout is None and head.conv_seg.kernel_size == (1, 1)
    torch.testing.assert_close(head.train()(maps), expected)


# Learning rate, layer decay, drop path, minimum lr.
NUMBERS = {
    'upernet_vits_160k': (6e-5, 0.8, 0.1, 0.0),
    'upernet_vitb_160k': (4e-5, 0.9, 0.15, 1e-7),
    'linear_vits_160k': (3e-5, None, None, 0.0),
    'linear_vitb_160k': (7e-4, None, None, 0.0),
    'linear_vitl_160k': (2e-5, None, None, 0.0),
}


@pytest.mark.parametrize('name', NUMBERS)
def test_numbers_of_the_paper(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    lr, decay, drop_path, min_lr = NUMBERS[name]
    assert cfg.optim_wrapper.optimizer.lr == lr
    assert cfg.optim_wrapper.paramwise_cfg.get('layer_decay_rate') == decay
    assert own_backbone(cfg).get('drop_path_rate') == drop_path
    assert cfg.param_scheduler[1].eta_min == min_lr
    if 'linear' not in name:
        assert cfg.model.auxiliary_head.loss_decode.loss_weight == 0.4


@pytest.mark.parametrize('name', FULL)
def test_what_all_recipes_share(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    assert cfg.optim_wrapper.optimizer.type == 'AdamW' and cfg.optim_wrapper.optimizer.weight_decay == 0.05
    assert cfg.optim_wrapper.lr_scaling == dict(rule='linear', batch_size=2, base_batch_size=16)
    warmup, poly = cfg.param_scheduler
    assert (warmup.type, warmup.end, poly.type, poly.begin, poly.end) == ('LinearLR', 1500, 'PolyLR', 0, 160_000)
    assert cfg.train_cfg.max_iters == 160_000 and cfg.train_dataloader.batch_size == 2
    assert cfg.model.test_cfg == dict(mode='slide', crop_size=(512, 512), stride=(341, 341))
    assert cfg.model.data_preprocessor.size == (512, 512) and cfg.model.decode_head.num_classes == 150
    if family(name) == 'vit':  # blocks 4, 6, 8, 12 of 12
        depth = own_backbone(cfg).arch.num_layers
        assert [i + 1 for i in own_backbone(cfg).out_indices] == [depth // 12 * block for block in (4, 6, 8, 12)]


@pytest.mark.parametrize('name', program.UPERNET_CHANNELS)
def test_upernet_follows_the_program(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    assert cfg.model.decode_head.channels == program.UPERNET_CHANNELS[name]
    assert cfg.model.auxiliary_head.channels == 256 and 'test_cfg' not in cfg.model.data_preprocessor
    lr, least = cfg.optim_wrapper.optimizer.lr, cfg.param_scheduler[1].eta_min
    wrapper = OptimWrapper(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr))
    schedulers = [PARAM_SCHEDULERS.build(dict(s, optimizer=wrapper)) for s in cfg.param_scheduler]
    for step in range(2000):
        poly = least + (lr - least) * (1 - step / 160_000)
        if step in (1, 100, 750, 1499, 1999):
            warmup = min(1e-6 + (1 - 1e-6) * step / 1499, 1)
            assert wrapper.param_groups[0]['lr'] == pytest.approx(poly * warmup, rel=1e-3)
        wrapper.optimizer.step()
        for scheduler in schedulers:
            scheduler.step()


@pytest.mark.parametrize('name', FULL)
def test_built_as_written(name, swin_on_meta):
    """Full size: the network is the one that the extracted file describes, and channels fit from end to end."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    kind, model_cfg = family(name), cfg.model
    own_backbone(cfg).init_cfg = None
    elastic = dict(vit='VisionTransformer', swin='SwinTransformer', resnet='ResNet')[kind]
    with torch.device('meta'):
        elastic = MODELS.build(dict(_scope_='poa_mm', type=f'Elastic{elastic}'))
    subnet = elastic.space.parse(cfg.subnet)
    with torch.device('meta'):
        model = segmentor(model_cfg).eval()
        extracted = MODELS.build({**elastic.dense_config(subnet, 'mmseg'), '_scope_': 'mmseg', 'init_cfg': None})
    backbone = model.backbone.backbone if 'linear' in name else model.backbone
    ours, theirs = ({k: v.shape for k, v in m.state_dict().items() if k != 'pos_embed'} for m in (backbone, extracted))
    assert ours == theirs and type(backbone) is type(extracted)
    with torch.no_grad():
        logits = model(torch.zeros(1, 3, 64, 96, device='meta'), mode='tensor')
    assert logits.shape == (1, 150, 4, 6) if 'linear' in name else logits.shape == (1, 150, 16, 24)


def elastic_maps(elastic: nn.Module, images: torch.Tensor, subnet, out_indices) -> list[torch.Tensor]:
    """The maps inside the elastic network: of blocks of a ViT, of stages of the others."""
    if elastic.block_prefixes == ('layers.',):
        seen, hooks = [], []
        for index in elastic.space.active_blocks(subnet)[0]:
            hook = elastic.layers[index].register_forward_hook(lambda module, inputs, output: seen.append(output))
            hooks.append(hook)
        elastic([images], subnet=subnet)
        for hook in hooks:
            hook.remove()
        grid = [size // elastic.patch_size for size in images.shape[2:]]
        tokens = [seen[i].unflatten(0, (len(images), -1))[:, 1:] for i in out_indices]
        return [t.transpose(1, 2).unflatten(2, grid) for t in tokens]
    if not hasattr(elastic, 'patch_embed'):
        return list(elastic._maps(images, None, subnet))
    stages = elastic._run_stages([elastic._embed(images, None, subnet.width)], subnet)
    return [
        getattr(elastic, f'norm{i}')(x).unflatten(0, sizes[0]).permute(0, 3, 1, 2)
        for i, (x, sizes) in enumerate(stages)
    ]


@pytest.mark.parametrize('kind', ELASTIC)
@torch.no_grad()
def test_maps_are_those_of_the_elastic_network(kind, place, tmp_path, random_backbone):
    """From the file to the rounding of fp32; with weights that were scaled in double precision, to that of fp64."""
    elastic_cfg, subnet, *_ = ELASTIC[kind]
    name = dict(vit='upernet_vits_160k', swin='upernet_swint_160k', resnet='upernet_r50_160k')[kind]
    model = segmentor(shrink(name, place, tmp_path).model).eval()
    model.init_weights()
    elastic = random_backbone(elastic_cfg)
    subnet = elastic.space.parse(subnet)
    single, double = (torch.float32, 1e-5), (torch.float64, 1e-12)
    for shape, (dtype, tolerance) in (((32, 32), single), ((40, 72), single), ((32, 32), double)):
        elastic, model = elastic.to(dtype), model.to(dtype)
        if dtype == torch.float64:
            weights = network_weights(elastic, subnet, 'mmseg', elastic.extract(subnet))
            model.backbone.load_state_dict(weights)
        images = torch.randn(2, 3, *shape, dtype=dtype)
        maps = model.backbone(images)
        assert len(maps) == 4
        for ours, theirs in zip(maps, elastic_maps(elastic, images, subnet, model.backbone.out_indices), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def sample(model: nn.Module, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels that a segmentor gives for an image ``(3, H, W)``, and the padded, normalised batch."""
    from mmseg.structures import SegDataSample

    shape = tuple(image.shape[1:])
    data_sample = SegDataSample(metainfo=dict(ori_shape=shape, img_shape=shape))
    batch = model.data_preprocessor(dict(inputs=[image], data_samples=[data_sample]))
    with torch.no_grad():
        result = model.predict(**batch)[0]
    assert result.pred_sem_seg.data.shape == (1, *shape)
    return result.seg_logits.data, batch['inputs']


@pytest.mark.parametrize('name', ['upernet_vits_160k', 'linear_vits_160k', 'upernet_swint_160k', 'upernet_r50_160k'])
def test_any_image_size(name, place, tmp_path):
    """Whole images as they are; windows overlap, and their logits are averaged."""
    cfg = shrink(name, place, tmp_path)
    cfg.model.test_cfg = dict(mode='whole')
    model = segmentor(cfg.model).eval()
    image = torch.randint(0, 256, (3, 50, 83), dtype=torch.uint8)
    logits, padded = sample(model, image)
    height, width = 50, 83
    assert padded.shape == (1, 3, height, width)  # not padded, as in the authors' program

    def full_size(images):
        with torch.no_grad():
            low = model(images, mode='tensor')
        return nn.functional.interpolate(low, images.shape[2:], mode='bilinear', align_corners=False)

    torch.testing.assert_close(logits, full_size(padded)[0])

    model.test_cfg = Config(dict(mode='slide', crop_size=(48, 48), stride=(32, 32)))
    logits, padded = sample(model, image)
    total, count = torch.zeros(150, height, width), torch.zeros(height, width)
    for top in {min(y, height - 48) for y in range(0, height - 16, 32)}:
        for left in {min(x, width - 48) for x in range(0, width - 16, 32)}:
            window = (..., slice(top, top + 48), slice(left, left + 48))
            total[window] += full_size(padded[window])[0]
            count[window] += 1
    assert count.min() == 1 and count.max() > 1
    torch.testing.assert_close(logits, total / count, rtol=1e-4, atol=1e-5)


def test_positions_of_any_grid_are_resized_as_mmpretrain_does(place, tmp_path):
    """On the fly for an image, or once at loading for a network of that size: the same."""
    cfg = own_backbone(shrink('upernet_vits_160k', place, tmp_path))
    networks = []
    for size in (32, (40, 72)):
        with DefaultScope.overwrite_default_scope('mmseg'):
            networks.append(MODELS.build({**cfg, 'img_size': size}))
        networks[-1].eval()
        networks[-1].init_weights()
    assert networks[1].pos_embed.shape == (1, 1 + 5 * 9, 24)
    images = torch.randn(1, 3, 40, 72)
    for ours, theirs in zip(*(network(images) for network in networks), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_crop_and_batch_are_options(place, tmp_path):
    options = {
        'train_dataloader.batch_size': 3,
        'optim_wrapper.lr_scaling.batch_size': 3,
        'train_dataloader.dataset.pipeline.3.crop_size': (64, 40),
        'model.data_preprocessor.size': (64, 40),
    }
    path = str(CONFIGS / 'upernet_vits_160k.py')
    cfg = load_config(path, options, str(tmp_path), 'none')
    small = shrink('upernet_vits_160k', place, tmp_path)
    small.optim_wrapper, small.train_dataloader.batch_size = cfg.optim_wrapper, cfg.train_dataloader.batch_size
    small.train_dataloader.dataset.pipeline[3] = cfg.train_dataloader.dataset.pipeline[3]
    small.model.data_preprocessor.size = cfg.model.data_preprocessor.size
    runner = Runner.from_cfg(small)
    shapes = []
    runner.model.backbone.register_forward_pre_hook(lambda module, inputs: shapes.append(tuple(inputs[0].shape)))
    runner.train()
    assert shapes == [(3, 3, 64, 40)]
    assert runner.optim_wrapper.optimizer.defaults['lr'] == pytest.approx(6e-5 * 3 / 16)


def test_batch_and_learning_rate_must_agree(place, tmp_path):
    cfg = shrink('upernet_vits_160k', place, tmp_path, **{'train_dataloader.batch_size': 3})
    with pytest.raises(ValueError, match='gives 3 images a batch, but optim_wrapper is set for 2'):
        Runner.from_cfg(cfg).train()


def test_amp(place, tmp_path):
    cfg = shrink('upernet_vits_160k', place, tmp_path)
    enable_amp(cfg)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert type(runner.optim_wrapper).__name__ == (
        'AmpOptimWrapper' if torch.cuda.is_available() else 'PoaOptimWrapper'
    )
    assert np.isfinite(runner.message_hub.get_scalar('train/loss').current())


@pytest.mark.parametrize('kind', ELASTIC)
def test_recomputed_activations_give_the_same_gradients(kind, place, tmp_path):
    name = dict(vit='upernet_vits_160k', swin='upernet_swint_160k', resnet='upernet_r50_160k')[kind]
    cfg = shrink(name, place, tmp_path)
    cfg.model.decode_head.dropout_ratio = 0
    images, results = torch.randn(2, 3, 48, 48), []
    for checkpointed in (False, True):
        torch.manual_seed(0)
        if kind != 'vit':
            cfg.model.backbone.with_cp = checkpointed
        model = segmentor(cfg.model).train()
        model.init_weights()
        blocks = []
        if kind == 'vit':
            names = [f'backbone.layers.{i}' for i in range(5)]
            if checkpointed:
                turn_on_activation_checkpointing(model, names)
            blocks = [model.backbone.layers[i].ffn for i in range(5)]
        else:
            blocks = [m for n, m in model.backbone.named_modules() if n.endswith(('.ffn', '.conv2'))]
        calls = []
        for block in blocks:
            block.register_forward_pre_hook(lambda module, inputs, calls=calls: calls.append(1))
        torch.manual_seed(1)  # drop path
        model(images, mode='tensor').square().mean().backward()
        assert len(calls) == len(blocks) * (1 + checkpointed)
        results.append({key: p.grad for key, p in model.named_parameters() if p.grad is not None})
    assert results[0].keys() == results[1].keys()
    for key, gradient in results[0].items():
        torch.testing.assert_close(results[1][key], gradient, rtol=1e-5, atol=1e-7, msg=key)


def test_activation_checkpointing_is_an_option(place, tmp_path):
    options = {'activation_checkpointing': [f'backbone.layers.{i}' for i in range(5)]}
    runner = Runner.from_cfg(shrink('upernet_vits_160k', place, tmp_path, **options))
    calls = []
    runner.model.backbone.layers[0].ffn.register_forward_pre_hook(lambda module, inputs: calls.append(1))
    runner.train()
    assert len(calls) == 2


def test_train_then_test_and_draw(place, tmp_path, monkeypatch):
    """``tools/train.py`` and ``tools/test.py --show-dir``: two classes of plain colours are learned at once."""
    from mmseg.visualization import SegLocalVisualizer

    options = dict(max_iters=30, val_interval=30)
    cfg = shrink('linear_vit_small', place, tmp_path / 'work', validate=True)
    cfg.train_cfg.update(options)
    cfg.default_hooks.checkpoint.interval = 30
    cfg.optim_wrapper.optimizer.lr = 0.01
    cfg.model.test_cfg = dict(mode='whole')
    path = tmp_path / 'small.py'
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in cfg.to_dict().items()))

    def tool(name, *args):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
        runpy.run_path(str(ROOT / 'tools' / f'{name}.py'), run_name='__main__')

    tool('train', path, '--work-dir', tmp_path / 'work')
    for kind in (Visualizer, SegLocalVisualizer):
        kind._instance_dict.clear()  # one process is one command, as a rule: the first visualizer would draw again
    checkpoint = tmp_path / 'work' / 'iter_30.pth'
    show, out = tmp_path / 'show', tmp_path / 'metrics.json'
    name = 'experiment_name=tested'
    tool(
        'test',
        path,
        checkpoint,
        '--work-dir',
        tmp_path / 'tested',
        '--show-dir',
        show,
        '--out',
        out,
        '--cfg-options',
        name,
    )
    assert json.loads(out.read_text())['metrics']['mIoU'] > 80  # of the two classes that are there
    assert sorted(path.name for path in show.iterdir()) == ['000000_0.png', '000001_1.png']


def test_absent_classes_do_not_count():
    """What ``upernet_resnet_small_fit8`` relies on."""
    from mmseg.evaluation import IoUMetric

    metric = IoUMetric(iou_metrics=['mIoU'])
    metric.dataset_meta = dict(classes=('a', 'b', 'c', 'd'))
    label = torch.tensor([[0, 0, 1, 1, 255]])
    metric.results = [metric.intersect_and_union(torch.tensor([[0, 0, 1, 0, 3]]), label, 4, 255)]
    assert metric.compute_metrics(metric.results)['mIoU'] == pytest.approx(100 * (2 / 3 + 1 / 2) / 2, abs=0.01)


def test_pyramid_follows_the_config(place, tmp_path):
    model = segmentor(shrink('upernet_vits_160k', place, tmp_path).model).eval()
    assert isinstance(model.neck, ViTPyramid)
    sizes = [tuple(m.shape[2:]) for m in model.extract_feat(torch.zeros(1, 3, 48, 32))]
    assert sizes == [(24, 16), (12, 8), (6, 4), (3, 2)]


def test_mistakes_are_told_before_the_first_step(place, tmp_path):
    def train(subnet=None, **options):
        cfg = shrink('linear_vits_160k', place, tmp_path, **options)
        if subnet:
            own_backbone(cfg).init_cfg.checkpoint = subnet
        Runner.from_cfg(cfg).train()

    with pytest.raises(FileNotFoundError, match='no_such_folder'):
        train(data_root=str(tmp_path / 'no_such_folder'))
    prefix = 'train_dataloader.dataset.data_prefix.seg_map_path'
    with pytest.raises(ValueError, match=r'has no label map: .*annotations/nowhere/0\.png does not exist'):
        train(**{prefix: 'annotations/nowhere'})
    with pytest.raises(ValueError, match='does not fit the backbone VisionTransformer'):
        train(subnet=str(place / 'small' / '192x8.pth'))
    with pytest.raises(ValueError, match=r'nothing\.pth'):
        train(subnet=str(tmp_path / 'nothing.pth'))

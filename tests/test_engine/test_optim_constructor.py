import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from poa_mm.elastic import Subnet
from poa_mm.engine import LayerDecayOptimWrapperConstructor, PoaOptimWrapper
from poa_mm.errors import UserError
from poa_mm.extraction.formats import network_config
from poa_mm.registry import MODELS
from tests.helpers.networks import SWIN, VIT

R = 0.9


def _cfg(**kwargs):
    return (
        dict(
            type='poa_mm.PoaOptimWrapper',
            constructor='poa_mm.LayerDecayOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.04, betas=(0.9, 0.999), fused=True),
            paramwise_cfg=dict(layer_decay_rate=R, patch_embed_lr_mult=0.2),
        )
        | kwargs
    )


def _table(model, wrapper):
    """Name of each parameter → (lr, weight decay, part, last layer)."""
    names = {id(p): n for n, p in model.named_parameters()}
    table = {}
    for group in wrapper.optimizer.param_groups:
        for param in group['params']:
            name = names[id(param)]
            assert name not in table
            table[name] = (group['lr'], group['weight_decay'], group['part'], group['is_last_layer'])
            assert (group['initial_lr'], group['initial_weight_decay']) == table[name][:2]
    return table


HAND = {
    'backbone.cls_token': (0.1 * R**3, 0.04, 'backbone', False),
    'backbone.mask_token': (0.1 * R**3, 0.04, 'backbone', False),
    'backbone.patch_embed.weight': (0.1 * R**3 * 0.2, 0.04, 'backbone', False),
    'backbone.patch_embed.bias': (0.1 * R**3 * 0.2, 0.0, 'backbone', False),
    'backbone.layers.0.weight': (0.1 * R**2, 0.04, 'backbone', False),
    'backbone.layers.0.bias': (0.1 * R**2, 0.0, 'backbone', False),
    'backbone.layers.1.weight': (0.1 * R, 0.04, 'backbone', False),
    'backbone.layers.1.bias': (0.1 * R, 0.0, 'backbone', False),
    'backbone.norm.weight': (0.1, 0.0, 'backbone', False),
    'backbone.norm.bias': (0.1, 0.0, 'backbone', False),
    'head.0.mlp.weight': (0.1, 0.04, 'heads', False),
    'head.0.mlp.bias': (0.1, 0.0, 'heads', False),
    'head.0.last_layer.weight': (0.1, 0.04, 'heads', True),
}


def test_hand_computed_table(tiny_model):
    model = tiny_model()
    wrapper = build_optim_wrapper(model, _cfg())
    assert isinstance(wrapper, PoaOptimWrapper)
    table = _table(model, wrapper)  # without the teacher, which has no gradient
    assert table.keys() == HAND.keys()
    for name, expected in HAND.items():
        assert table[name] == (pytest.approx(expected[0]), *expected[1:]), name


def test_groups_are_merged_and_named(tiny_model):
    wrapper = build_optim_wrapper(tiny_model(), _cfg())
    names = [group['name'] for group in wrapper.optimizer.param_groups]
    assert len(set(names)) == len(names) == 11
    assert 'heads lr x 1, last layer' in names and 'backbone lr x 0.81, no weight decay' in names
    wrapper = build_optim_wrapper(tiny_model(), _cfg(paramwise_cfg=None))
    names = [group['name'] for group in wrapper.optimizer.param_groups]
    assert sorted(names) == [
        'backbone lr x 1',
        'backbone lr x 1, no weight decay',
        'heads lr x 1',
        'heads lr x 1, last layer',
        'heads lr x 1, no weight decay',
    ]


def test_more_without_weight_decay(tiny_model):
    model = tiny_model()
    wrapper = build_optim_wrapper(model, _cfg(paramwise_cfg=dict(no_decay=['cls_token', 'mlp'])))
    decay = {name: row[1] for name, row in _table(model, wrapper).items()}
    assert decay['backbone.cls_token'] == decay['head.0.mlp.weight'] == 0
    assert decay['backbone.mask_token'] == decay['head.0.last_layer.weight'] == 0.04


def test_frozen_parameters_are_left_out(tiny_model):
    model = tiny_model()
    model.backbone.layers[0].requires_grad_(False)
    table = _table(model, build_optim_wrapper(model, _cfg()))
    assert table.keys() == HAND.keys() - {'backbone.layers.0.weight', 'backbone.layers.0.bias'}


@pytest.mark.parametrize(
    'rule, processes, counts, factor',
    [('sqrt', 32, 1, 1.25), ('sqrt', 8, 4, 1.25), ('linear', 32, 1, 1.5625), (None, 32, 1, 1.0)],
)
def test_lr_follows_the_total_batch(tiny_model, monkeypatch, rule, processes, counts, factor):
    monkeypatch.setattr('poa_mm.engine.optim_constructor.get_world_size', lambda: processes)
    scaling = dict(rule=rule, batch_size=50, base_batch_size=1024)
    wrapper = build_optim_wrapper(tiny_model(), _cfg(lr_scaling=scaling, accumulative_counts=counts))
    assert wrapper.get_lr()['base_lr'] == [pytest.approx(0.1 * factor)]
    assert wrapper.optimizer.param_groups[-1]['lr'] == pytest.approx(0.1 * factor)
    assert wrapper.expected_batch_size == 50


@pytest.mark.parametrize('processes, counts', [(32, 1), (8, 4), (2, 16)])
def test_micro_batches_and_lr_follow_the_total_batch(tiny_model, monkeypatch, processes, counts):
    for module in ('optim_constructor', 'optim_wrapper'):
        monkeypatch.setattr(f'poa_mm.engine.{module}.get_world_size', lambda: processes)
    scaling = dict(rule='sqrt', base_batch_size=1024)
    wrapper = build_optim_wrapper(tiny_model(), _cfg(lr_scaling=scaling, total_batch=1600, batch_size=50))
    assert wrapper._accumulative_counts == counts and wrapper.expected_batch_size == 50
    assert wrapper.get_lr()['base_lr'] == [pytest.approx(0.1 * 1.25)]
    with pytest.raises(UserError, match='batch_size=50 trains the same'):
        build_optim_wrapper(tiny_model(), _cfg(lr_scaling=scaling, total_batch=1600, batch_size=60))
    with pytest.raises(UserError, match='no effect beside total_batch'):
        scaling['batch_size'] = 50
        build_optim_wrapper(tiny_model(), _cfg(lr_scaling=scaling, total_batch=1600, batch_size=50))


def test_config_is_not_changed(tiny_model):
    cfg = _cfg(lr_scaling=dict(rule='sqrt', batch_size=50, base_batch_size=1024))
    copies = [build_optim_wrapper(tiny_model(), cfg) for _ in range(2)]
    assert copies[0].get_lr() == copies[1].get_lr()
    assert cfg['optimizer']['lr'] == 0.1


def test_lr_is_logged_once(tiny_model, monkeypatch):
    said = []
    monkeypatch.setattr('poa_mm.engine.optim_constructor.print_log', lambda text, logger: said.append(text))
    cfg = _cfg(lr_scaling=dict(rule='sqrt', batch_size=50, base_batch_size=1024))
    build_optim_wrapper(tiny_model(), cfg)
    (line,) = said
    assert line.startswith('Learning rate 0.1 for a batch of 1024 becomes 0.0221 for 50 = 50 a process x 1')


def test_standard_backbone_of_mmpretrain():
    """The usual layer decay: names, depth and multipliers as mmpretrain's own constructor has them."""
    from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
    from mmpretrain.models import VisionTransformer

    class Segmentor(BaseModel):
        def __init__(self):
            super().__init__()
            arch = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
            self.backbone = VisionTransformer(arch, img_size=32, patch_size=16, layer_scale_init_value=1e-5)
            self.decode_head = nn.Conv2d(32, 2, 1)

        def get_layer_depth(self, name):
            return self.backbone.get_layer_depth(name, prefix='backbone.')

        def forward(self, *args, **kwargs):
            raise NotImplementedError

    model = Segmentor()
    optimizer = dict(type='AdamW', lr=0.1, weight_decay=0.05)
    ours = LayerDecayOptimWrapperConstructor(
        dict(type='mmengine.OptimWrapper', optimizer=optimizer),
        dict(layer_decay_rate=0.65, no_decay=['pos_embed', 'cls_token']),
    )(model)
    none = dict(decay_mult=0.0)
    theirs = LearningRateDecayOptimWrapperConstructor(
        dict(type='OptimWrapper', optimizer=optimizer),
        dict(
            layer_decay_rate=0.65,
            flat_decay_mult=0.0,
            custom_keys={'.pos_embed': none, '.cls_token': none},
        ),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        theirs = theirs(model)
    expected = {
        id(p): (pytest.approx(g['lr']), g['weight_decay']) for g in theirs.optimizer.param_groups for p in g['params']
    }
    got = {id(p): (g['lr'], g['weight_decay']) for g in ours.optimizer.param_groups for p in g['params']}
    assert got == expected
    assert len(ours.optimizer.param_groups) < 14 < len(theirs.optimizer.param_groups)


CONFIGS = {
    'vit': {**VIT, 'img_size': 32, 'depths': (4, 6)},
    'swin': {**SWIN, 'stage_depths': (1, 2, None, 2)},
    'resnet': dict(type='ElasticResNet', widths=(32, 64, 16), depths=((3, 3), (4, 4), (5, 6), (3, 3)), num_groups=16),
}
# The ids of the paper's program, counted by hand for the intact sizes above.
IDS = {
    'vit': (7, {'cls_token': 0, 'patch_embed.projection.bias': 0, 'layers.0.ln1.weight': 1, 'layers.5.ln2.bias': 6}),
    'swin': (
        10,
        {
            'patch_embed.norm.weight': 0,
            'stages.0.blocks.0.norm1.weight': 1,
            'stages.0.downsample.norm.weight': 2,
            'stages.1.blocks.1.ffn.layers.1.bias': 3,
            'stages.1.downsample.reduction.weight': 4,
            'stages.2.blocks.3.attn.w_msa.relative_position_bias_table': 7,
            'stages.3.blocks.0.norm2.bias': 8,
            'stages.3.blocks.1.norm2.bias': 9,
            'norm0.weight': 10,
            'norm3.bias': 10,
        },
    ),
    'resnet': (
        16,
        {
            'conv1.weight': 0,
            'gn1.weight': 0,
            'layer1.0.downsample.0.weight': 1,
            'layer2.0.conv1.weight': 4,
            'layer4.2.gn3.weight': 16,
        },
    ),
}


TOOLBOXES = {'mmpretrain', 'mmdet', 'mmseg'}


def _twins(elastic):
    """What sub-networks of full depth become in every toolbox."""
    for width in {elastic.space.widths[0], elastic.space.intact.width}:
        subnet = Subnet(width, elastic.space.intact.depth)
        for toolbox in ('mmpretrain', 'mmdet', 'mmseg'):
            yield MODELS.build(network_config(elastic, subnet, toolbox))


# The program's ids in fine-tuning, where they differ from the above, and the number of layers.
FINE_TUNING = {
    'vit': (7, {}),
    'swin': (10, {'stages.0.downsample.norm.weight': 1, 'stages.1.downsample.reduction.weight': 3}),
    'resnet': (17, {}),
}


def _factors(backbone, rate=0.5, **options):
    """Learning rate of every backbone parameter over the base one."""
    model = nn.Module()
    model.backbone, model.head = backbone, nn.Linear(2, 2)
    wrapper = dict(type='mmengine.OptimWrapper', optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.05))
    built = LayerDecayOptimWrapperConstructor(wrapper, dict(layer_decay_rate=rate, **options))(model)
    table = {name: row[0] for name, row in _table(model, built).items()}
    assert table['head.weight'] == 1
    return {name.removeprefix('backbone.'): lr for name, lr in table.items() if name.startswith('backbone.')}


@pytest.mark.parametrize('family', CONFIGS)
def test_one_network_has_the_same_factors_in_every_toolbox(family):
    """No toolbox's own ids: mmdet's and mmseg's backbones have none, mmpretrain's ResNet has others."""
    import mmdet.models  # noqa: F401 (after poa_mm, which brings mmcv's operators)
    import mmseg.models  # noqa: F401

    elastic = MODELS.build(CONFIGS[family]).requires_grad_(True)  # also norms that pre-training leaves alone
    (top, ids), expected = IDS[family], _factors(elastic)
    assert all(expected[name] == 0.5 ** (top - layer) for name, layer in ids.items())
    modules = set()
    for backbone in _twins(elastic):
        factors = _factors(backbone)
        assert factors == {name: expected[name] for name in factors} and len(factors) >= len(expected) - 3
        modules.add(type(backbone).__module__.partition('.')[0])
    assert modules == {'vit': {'mmpretrain'}, 'swin': TOOLBOXES, 'resnet': TOOLBOXES | {'poa_mm'}}[family]


@pytest.mark.parametrize('family', CONFIGS)
def test_ids_of_fine_tuning(family):
    """A ResNet's head is a layer above its last block; a Swin's downsampling belongs to the block before it."""
    elastic = MODELS.build(CONFIGS[family]).requires_grad_(True)
    top, changed = FINE_TUNING[family]
    factors = _factors(elastic, fine_tuning_ids=True)
    assert all(factors[name] == 0.5 ** (top - layer) for name, layer in {**IDS[family][1], **changed}.items())
    with pytest.raises(UserError, match='fine_tuning_ids needs a network of a known family'):
        _factors(nn.Linear(2, 2), fine_tuning_ids=True)


def test_frozen_backbone_has_no_factors():
    from mmpretrain.models import VisionTransformer

    arch = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
    frozen = VisionTransformer(arch, img_size=32, patch_size=16).requires_grad_(False)
    assert _factors(frozen) == {}
    assert _factors(nn.Linear(2, 2).requires_grad_(False)) == {}


def test_wrong_values(tiny_model):
    with pytest.raises(ValueError, match=r"\['layer_decay'\]"):
        build_optim_wrapper(tiny_model(), _cfg(paramwise_cfg=dict(layer_decay=0.9)))
    with pytest.raises(ValueError, match="'cubic'"):
        build_optim_wrapper(tiny_model(), _cfg(lr_scaling=dict(rule='cubic')))
    with pytest.raises(ValueError, match='batch_size and base_batch_size'):
        build_optim_wrapper(tiny_model(), _cfg(lr_scaling=dict(rule='sqrt', batch_size=50)))
    with pytest.raises(ValueError, match="'pos_embed'"):
        build_optim_wrapper(tiny_model(), _cfg(paramwise_cfg=dict(no_decay='pos_embed')))
    with pytest.raises(ValueError, match='optimizer with lr'):
        LayerDecayOptimWrapperConstructor(dict(optimizer=dict(type='AdamW')))
    model = tiny_model()
    model.backbone = nn.Linear(2, 2)
    with pytest.raises(ValueError, match='Linear is neither'):
        build_optim_wrapper(model, _cfg())
    with pytest.raises(ValueError, match='no parameter'):
        build_optim_wrapper(model.requires_grad_(False), _cfg())


def test_works_under_a_model_wrapper(tiny_model):
    from mmengine.model import MMDistributedDataParallel

    model = tiny_model()
    wrapped = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapped)
    wrapped.module = model
    assert _table(model, build_optim_wrapper(wrapped, _cfg())).keys() == HAND.keys()
    assert torch.is_tensor(model.backbone.cls_token)

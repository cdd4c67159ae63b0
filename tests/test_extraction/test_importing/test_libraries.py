"""Weights of the real libraries' networks, built small: imported, they compute what the library computes."""

import math
import re

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import nn

from poa_mm.extraction.importing import import_weights

VIT = dict(
    type='ElasticVisionTransformer',
    img_size=32,
    patch_size=8,
    widths=(64, 128, 64),
    depths=(2, 3),
    head_dim=64,
    layer_scale_init_value=0,
)
SWIN = dict(
    type='ElasticSwinTransformer',
    img_size=64,
    widths=(16, 32, 16),
    depths=(2, 4),
    stage_depths=(1, 2, None),
    head_dim=8,
    window_size=4,
    pad_small_map=False,
    mask_stride=16,
)
RESNET = dict(type='ElasticResNet', widths=(64, 64, 1), depths=((3, 3), (4, 4), (6, 6), (3, 3)))
SWIN_SIZES = dict(patch_size=4, window_size=4, depths=(1, 2, 4), num_heads=(4, 8, 16))


def config(backbone, **changes):
    return Config(dict(model=dict(type='POA', backbone={**backbone, **changes}, head=dict(type='MultiPrototypeHead'))))


@torch.no_grad()
def randomized(network):
    """The network in eval mode with no two weights alike."""
    torch.manual_seed(0)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(0, 0.5 * parameter[0].numel() ** -0.5)
        else:
            parameter.normal_(float(name.endswith(('weight', 'gamma', 'lambda1'))), 0.1)
    network.eval()
    return network


@torch.no_grad()
def check(source, cfg, expected_features, expected_patches=None, size=32):
    """The features of the imported network are the library's, to 1e-5."""
    imported = import_weights(source, cfg)
    images = torch.randn(2, 3, size, size)
    ((features, patches),) = imported.backbone([images])
    torch.testing.assert_close(features, expected_features(images), rtol=0, atol=1e-5)
    if expected_patches is not None:
        torch.testing.assert_close(patches, expected_patches(images), rtol=0, atol=1e-5)
    return imported


def saved(weights, path):
    torch.save(weights, path)
    return path


@pytest.mark.parametrize('registers, ls', [(0, None), (0, 0.1), (2, 0.1)])
def test_timm_vit(tmp_path, registers, ls):
    timm = pytest.importorskip('timm')
    sizes = dict(img_size=32, patch_size=8, embed_dim=128, depth=3, num_heads=2, reg_tokens=registers, init_values=ls)
    network = randomized(timm.models.VisionTransformer(**sizes, num_classes=5))
    cfg = config(VIT, num_registers=registers, layer_scale_init_value=ls or 0)
    source = saved(network.state_dict(), tmp_path / 'vit.pth')
    imported = check(
        source,
        cfg,
        lambda x: network.forward_features(x)[:, 0],
        lambda x: network.forward_features(x)[:, 1 + registers :],
    )
    assert imported.library == 'VisionTransformer of timm'


def test_timm_giant_of_dinov2_as_safetensors(tmp_path):
    timm = pytest.importorskip('timm')
    safetensors = pytest.importorskip('safetensors.torch')
    network = timm.create_model(
        'vit_giant_patch14_reg4_dinov2', depth=2, embed_dim=192, num_heads=3, img_size=56, num_classes=0
    )
    randomized(network)
    safetensors.save_file(network.state_dict(), tmp_path / 'model.safetensors')
    sizes = dict(img_size=56, patch_size=14, widths=(192, 192, 1), depths=(2, 2))
    cfg = config(VIT, **sizes, num_registers=4, ffn='swiglu', layer_scale_init_value=1e-5)
    imported = check(tmp_path, cfg, network, lambda x: network.forward_features(x)[:, 5:], size=56)
    # At another size positions are resized as the library does.
    cfg.model.backbone.img_size = 28
    smaller = import_weights(tmp_path, cfg)
    resized = timm.layers.resample_abs_pos_embed(network.pos_embed, [2, 2], num_prefix_tokens=0)
    torch.testing.assert_close(smaller.backbone.pos_embed[:, 1:], resized)
    assert imported.backbone.pos_embed[:, 0].abs().max() == 0


@pytest.mark.parametrize('registers', [0, 3])
@pytest.mark.parametrize('swiglu', [False, True])
def test_transformers_dinov2(tmp_path, registers, swiglu):
    transformers = pytest.importorskip('transformers')
    width = 192 if swiglu else 128
    sizes = dict(
        hidden_size=width,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        use_swiglu_ffn=swiglu,
    )
    if registers:
        network = transformers.Dinov2WithRegistersModel(
            transformers.Dinov2WithRegistersConfig(**sizes, num_register_tokens=registers)
        )
    else:
        network = transformers.Dinov2Model(transformers.Dinov2Config(**sizes))
    randomized(network).save_pretrained(tmp_path)
    cfg = config(
        VIT,
        img_size=28,
        patch_size=14,
        widths=(width // 2, width, width // 2),
        head_dim=width // 2,
        layer_scale_init_value=1,
        num_registers=registers,
        ffn='swiglu' if swiglu else 'mlp',
    )
    check(
        tmp_path,
        cfg,
        lambda x: network(x).last_hidden_state[:, 0],
        lambda x: network(x).last_hidden_state[:, 1 + registers :],
        size=28,
    )
    imported = import_weights(tmp_path, cfg)
    assert torch.equal(imported.backbone.mask_token, network.embeddings.mask_token)


def test_transformers_vit(tmp_path):
    transformers = pytest.importorskip('transformers')
    sizes = dict(
        hidden_size=128, num_hidden_layers=3, num_attention_heads=2, intermediate_size=512, image_size=32, patch_size=8
    )
    network = transformers.ViTForImageClassification(transformers.ViTConfig(**sizes))
    randomized(network).save_pretrained(tmp_path)
    check(tmp_path, config(VIT, ln_eps=1e-12), lambda x: network.vit(x).last_hidden_state[:, 0])
    with pytest.raises(ValueError, match=r'ln_eps is 1e-12 in the file, 1e-06 in the config \(model.backbone.ln_eps\)'):
        import_weights(tmp_path, config(VIT))


def test_transformers_swin(tmp_path):
    transformers = pytest.importorskip('transformers')
    sizes = {key: list(v) if isinstance(v, tuple) else v for key, v in SWIN_SIZES.items()}
    network = transformers.SwinModel(transformers.SwinConfig(image_size=64, embed_dim=32, **sizes))
    randomized(network).save_pretrained(tmp_path)
    check(tmp_path, config(SWIN), lambda x: network(x).pooler_output, size=64)


@pytest.mark.parametrize('layout', ['timm', 'original'])
def test_timm_swin(tmp_path, layout):
    timm = pytest.importorskip('timm')
    network = randomized(timm.models.SwinTransformer(img_size=64, embed_dim=32, num_classes=5, **SWIN_SIZES))
    weights = network.state_dict()
    if layout == 'original':  # a downsample belongs to the stage before it
        weights = {
            name.replace(f'layers.{i}.downsample', f'layers.{i - 1}.downsample'): value
            for i in (1, 2)
            for name, value in weights.items()
            if 'downsample' not in name or f'layers.{i}.downsample' in name
        }
    imported = check(
        saved({'model': weights}, tmp_path / 'swin.pth'),
        config(SWIN),
        lambda x: network.forward_features(x).mean((1, 2)),
        size=64,
    )
    assert imported.library == f'SwinTransformer of {"timm" if layout == "timm" else "the original Swin"}'
    assert any('norm0.weight' in note for note in imported.notes)


def test_torchvision_swin(tmp_path):
    from torchvision.models.swin_transformer import SwinTransformer

    network = SwinTransformer([4, 4], 32, [1, 2, 4], [4, 8, 16], [4, 4], num_classes=5)
    randomized(network)
    source = saved(network.state_dict(), tmp_path / 'swin.pth')
    check(source, config(SWIN), lambda x: network.norm(network.features(x)).mean((1, 2)), size=64)


def test_torchvision_vit(tmp_path):
    from torchvision.models.vision_transformer import VisionTransformer

    network = randomized(VisionTransformer(32, 8, 3, 2, 128, 512, num_classes=5))
    network.heads = nn.Identity()
    check(saved(network.state_dict(), tmp_path / 'vit.pth'), config(VIT), network)


def test_mmpretrain_classifier(tmp_path):
    from mmpretrain.models import SwinTransformer, VisionTransformer

    arch = dict(embed_dims=128, num_layers=3, num_heads=2, feedforward_channels=512)
    vit = randomized(VisionTransformer(arch, 32, 8))
    weights = {f'backbone.{name}': value for name, value in vit.state_dict().items()}
    weights['head.layers.head.weight'] = torch.zeros(5, 128)
    source = saved(dict(meta=dict(), state_dict=weights), tmp_path / 'vit.pth')
    imported = check(source, config(VIT), lambda x: vit(x)[0])
    assert any('attention heads' in note for note in imported.notes)

    arch = dict(embed_dims=32, depths=[1, 2, 4], num_heads=[4, 8, 16])
    swin = randomized(SwinTransformer(arch, 64, window_size=4, out_indices=(2,)))
    source = saved(dict(state_dict=swin.state_dict()), tmp_path / 'swin.pth')
    check(source, config(SWIN), lambda x: swin(x)[0].mean((2, 3)), size=64)


@pytest.mark.parametrize('library', ['timm', 'torchvision'])
def test_resnet_with_group_norm(tmp_path, library):
    if library == 'timm':
        network = pytest.importorskip('timm').create_model('resnet50_gn', num_classes=5)
        features = lambda x: network.forward_features(x).mean((2, 3))  # noqa: E731
    else:
        from torchvision.models import resnet50

        network = resnet50(norm_layer=lambda channels: nn.GroupNorm(32, channels))
        features = lambda x: nn.Sequential(*list(network.children())[:-1])(x).flatten(1)  # noqa: E731
    check(saved(randomized(network).state_dict(), tmp_path / 'r50.pth'), config(RESNET), features, size=64)


def dinov2_weights(width, depth, grid, registers=0, swiglu=False):
    """A random network by DINOv2's names and shapes."""
    torch.manual_seed(0)
    hidden = 8 * width // 3 if swiglu else 4 * width
    shapes = dict(cls_token=(1, 1, width), pos_embed=(1, grid**2 + 1, width), mask_token=(1, width))
    if registers:
        shapes['register_tokens'] = (1, registers, width)
    shapes.update({'patch_embed.proj.weight': (width, 3, 14, 14), 'patch_embed.proj.bias': (width,)})
    for i in range(depth):
        vectors = ('norm1.weight', 'norm1.bias', 'norm2.weight', 'norm2.bias', 'ls1.gamma', 'ls2.gamma')
        block = dict.fromkeys(vectors, (width,))
        first, second = ('mlp.w12', 'mlp.w3') if swiglu else ('mlp.fc1', 'mlp.fc2')
        layers = {'attn.qkv': (3 * width, width), 'attn.proj': (width, width)}
        layers.update({first: ((1 + swiglu) * hidden, width), second: (width, hidden)})
        for name, shape in layers.items():
            block.update({f'{name}.weight': shape, f'{name}.bias': shape[:1]})
        shapes.update({f'blocks.{i}.{name}': shape for name, shape in block.items()})
    shapes.update({'norm.weight': (width,), 'norm.bias': (width,)})
    return {name: torch.randn(shape) / math.prod(shape[1:]) ** 0.5 for name, shape in shapes.items()}


def dinov2_features(w, images, depth):
    """Class token and patches of DINOv2's network, written out with PyTorch's functions."""
    width = w['cls_token'].shape[-1]
    norm = lambda x, name: F.layer_norm(x, (width,), w[f'{name}.weight'], w[f'{name}.bias'], 1e-6)  # noqa: E731
    linear = lambda x, name: F.linear(x, w[f'{name}.weight'], w[f'{name}.bias'])  # noqa: E731
    x = F.conv2d(images, w['patch_embed.proj.weight'], w['patch_embed.proj.bias'], stride=14).flatten(2).mT
    x = torch.cat([w['cls_token'].expand(len(x), -1, -1), x], 1) + w['pos_embed']
    registers = w.get('register_tokens', torch.zeros(1, 0, width))
    x = torch.cat([x[:, :1], registers.expand(len(x), -1, -1), x[:, 1:]], 1)
    for i in range(depth):
        b = f'blocks.{i}.'
        qkv = linear(norm(x, b + 'norm1'), b + 'attn.qkv').unflatten(-1, (3, width // 64, 64)).permute(2, 0, 3, 1, 4)
        attended = ((qkv[0] @ qkv[1].mT / 8).softmax(-1) @ qkv[2]).transpose(1, 2).flatten(2)
        x = x + w[b + 'ls1.gamma'] * linear(attended, b + 'attn.proj')
        y = norm(x, b + 'norm2')
        if b + 'mlp.w12.weight' in w:
            gate, value = linear(y, b + 'mlp.w12').chunk(2, -1)
            y = linear(F.silu(gate) * value, b + 'mlp.w3')
        else:
            y = linear(F.gelu(linear(y, b + 'mlp.fc1')), b + 'mlp.fc2')
        x = x + w[b + 'ls2.gamma'] * y
    x = norm(x, 'norm')
    return x[:, 0], x[:, 1 + registers.shape[1] :]


DINOV2 = dict(img_size=42, patch_size=14, widths=(64, 128, 64), layer_scale_init_value=1e-5)


@pytest.mark.parametrize('registers', [0, 4])
@pytest.mark.parametrize('swiglu', [False, True])
def test_dinov2(tmp_path, registers, swiglu):
    width = 192 if swiglu else 128
    weights = dinov2_weights(width, 3, 3, registers, swiglu)
    sizes = {**DINOV2, 'widths': (width, width, 1)}
    cfg = config(VIT, **sizes, num_registers=registers, ffn='swiglu' if swiglu else 'mlp')
    source = saved(weights, tmp_path / 'dinov2.pth')
    imported = check(
        source, cfg, lambda x: dinov2_features(weights, x, 3)[0], lambda x: dinov2_features(weights, x, 3)[1], size=42
    )
    assert imported.library == 'VisionTransformer of DINOv2'
    assert torch.equal(imported.backbone.mask_token, weights['mask_token'])


def test_dinov2_positions_for_another_image_size(tmp_path):
    """DINOv2 adds 0.1 to the target size of networks without registers, and uses antialiasing with them."""
    for registers in (0, 4):
        weights = dinov2_weights(128, 3, 5, registers)
        imported = import_weights(saved(weights, tmp_path / 'w.pth'), config(VIT, **DINOV2, num_registers=registers))
        maps = weights['pos_embed'][:, 1:].unflatten(1, (5, 5)).permute(0, 3, 1, 2)
        if registers:
            expected = F.interpolate(maps, size=(3, 3), mode='bicubic', antialias=True)
        else:
            expected = F.interpolate(maps, scale_factor=3.1 / 5, mode='bicubic')
        torch.testing.assert_close(imported.backbone.pos_embed[:, 1:], expected.flatten(2).mT)


def test_dinov2_training_checkpoint_in_chunks(tmp_path):
    weights = dinov2_weights(128, 3, 3)
    chunked = {
        'teacher.backbone.' + re.sub(r'^blocks\.(\d)', lambda m: f'blocks.{int(m[1]) // 2}.{m[1]}', name): value
        for name, value in weights.items()
    }
    student = {name.replace('teacher', 'student'): torch.zeros_like(value) for name, value in chunked.items()}
    source = saved(dict(model={**student, **chunked}), tmp_path / 'model.pth')
    check(source, config(VIT, **DINOV2), lambda x: dinov2_features(weights, x, 3)[0], size=42)


def test_checkpoint_of_the_authors_program(tmp_path):
    """Elastic layers are wrapped, and the heads are numbered."""
    weights = dinov2_weights(128, 3, 3)
    wrapped = {}
    for name, value in weights.items():
        kind = 'norm' if 'norm' in name else 'linear' if any(part in name for part in ('attn', 'mlp')) else None
        wrapped[re_wrap(name, kind) if kind else name] = value
    contents = {f'backbone.{name}': value for name, value in wrapped.items()}
    heads = {}
    for i, prototypes in enumerate((6, 10)):
        for layer, shape in (('0.linear', (16, 128)), ('2', (16, 16)), ('4', (8, 16))):
            heads[f'mlp{i}.{layer}.weight'], heads[f'mlp{i}.{layer}.bias'] = torch.randn(shape), torch.randn(shape[0])
        heads[f'last_layer{i}.weight_v'] = torch.randn(prototypes, 8)
        heads[f'last_layer{i}.weight_g'] = torch.ones(prototypes, 1)
    contents.update({f'dino_head.{name}': value for name, value in heads.items()})
    cfg = config(VIT, **DINOV2)
    cfg.model.head.update(num_prototypes=(6, 10), hidden_dims=16, bottleneck_dims=8)
    source = saved(dict(teacher=contents), tmp_path / 'teacher_checkpoint.pth')
    imported = check(source, cfg, lambda x: dinov2_features(weights, x, 3)[0], size=42)
    assert torch.equal(imported.head['heads.1.mlp.0.weight'], heads['mlp1.0.linear.weight'])
    assert torch.equal(imported.head['heads.0.last_layer.weight_v'], heads['last_layer0.weight_v'])
    assert len(imported.head) == 16

    cfg.model.head.num_prototypes = (6, 11)
    imported = import_weights(source, cfg)
    assert imported.head == {}
    assert 'heads.1.last_layer.weight_v is (10, 8) in the source, (11, 8) in the config' in imported.notes[0]


def re_wrap(name, kind):
    module, _, last = name.rpartition('.')
    return f'{module}.{kind}.{last}'

"""Networks as folders that timm opens: ``timm.create_model('local-dir:FOLDER', pretrained=True)``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from poa_mm.errors import UserError
from poa_mm.extraction.extracted import ExtractedNetwork
from poa_mm.extraction.inputs import CROP_SHARE, unit_levels
from poa_mm.files import write_atomically, write_text

from .options import Options
from .renaming import check_family, family_name, merging_by_neighbour, rename

TIMM_GROUPS, TIMM_STEM = 32, 64  # what timm's ResNet with GroupNorm has, with no argument for it


def write(network: ExtractedNetwork, folder: Path, options: Options) -> str:
    """Write ``model.safetensors`` and ``config.json``; returns the lines that load them."""
    import timm
    from safetensors.torch import save

    check_family(network, CONVERSIONS, 'timm')
    architecture, arguments, first_conv, weights = CONVERSIONS[family_name(network)](network)
    # Built once to be sure that timm takes each weight; timm makes its own when it opens the folder.
    timm.create_model(architecture, num_classes=0, **arguments).load_state_dict(weights)
    mean, std = unit_levels(network.inputs)
    config = dict(
        architecture=architecture,
        num_classes=0,
        num_features=network.feature_dims,
        global_pool=arguments['global_pool'],
        model_args=arguments,
        pretrained_cfg=dict(
            input_size=[3, network.img_size, network.img_size],
            fixed_input_size=False,
            interpolation='bicubic',
            crop_pct=CROP_SHARE,
            crop_mode='center',
            mean=mean,
            std=std,
            num_classes=0,
            first_conv=first_conv,
        ),
    )
    write_atomically(folder / 'model.safetensors', lambda file: file.write(save(weights, {'format': 'pt'})))
    write_text(folder / 'config.json', json.dumps(config, indent=2) + '\n')
    return (
        'import timm\n\n'
        "network = timm.create_model('local-dir:FOLDER', pretrained=True).eval()  # or 'hf-hub:REPO'\n"
        'preprocess = timm.data.create_transform(**timm.data.resolve_data_config(model=network))\n'
        "feature = network(preprocess(image.convert('RGB'))[None])  # image: PIL\n"
    )


def _vit(network: ExtractedNetwork) -> tuple[str, dict[str, Any], str, dict[str, Tensor]]:
    config, arch = network.config, network.config['arch']
    swiglu, registers = 'layer_cfgs' in config, config.get('num_registers', 0)
    if 'norm_cfg' in config:
        raise UserError(
            f"timm's ViT has norms with an epsilon of 1e-6, this network {config['norm_cfg']['eps']}: write it with "
            '--format transformers'
        )
    # Twice the hidden units of SwiGLU, whose two first matrices are one; timm rounds down.
    ratio = (2 * network.weights['layers.0.ffn.w3.weight'].shape[1] + 0.5) / arch['embed_dims'] if swiglu else 4.0
    arguments = dict(
        img_size=config['img_size'],
        patch_size=config['patch_size'],
        embed_dim=arch['embed_dims'],
        depth=arch['num_layers'],
        num_heads=arch['num_heads'],
        mlp_ratio=ratio,
        reg_tokens=registers,
        init_values=config['layer_scale_init_value'] or None,
        global_pool='token',
        dynamic_img_size=True,
    )
    block = r'layers\.(\d+)\.'
    rules = [
        ('cls_token|pos_embed', r'\g<0>'),
        ('register_tokens', 'reg_token'),
        (r'patch_embed\.projection\.(.+)', r'patch_embed.proj.\1'),
        (block + r'ln([12])\.(.+)', r'blocks.\1.norm\2.\3'),
        (block + r'attn\.((?:qkv|proj)\..+)', r'blocks.\1.attn.\2'),
        (block + r'attn\.gamma1\.weight', r'blocks.\1.ls1.gamma'),
        (block + r'ffn\.layers\.0\.0\.(.+)', r'blocks.\1.mlp.fc1.\2'),
        (block + r'ffn\.layers\.1\.(.+)', r'blocks.\1.mlp.fc2.\2'),
        (block + r'ffn\.w12\.(.+)', r'blocks.\1.mlp.fc1.\2'),
        (block + r'ffn\.w3\.(.+)', r'blocks.\1.mlp.fc2.\2'),
        (block + r'ffn\.gamma2\.weight', r'blocks.\1.ls2.gamma'),
        (r'ln1\.(.+)', r'norm.\1'),
    ]
    weights = rename(network.weights, rules)
    if registers:  # timm's have positions
        positions = weights['pos_embed']
        none = torch.zeros(1, registers, positions.shape[2])
        weights['pos_embed'] = torch.cat([positions[:, :1], none, positions[:, 1:]], dim=1)
    # The feed-forward network is not among the arguments that a folder can state, so it comes with the architecture.
    architecture = 'vit_giant_patch14_dinov2' if swiglu else 'vit_small_patch16_224'
    return architecture, arguments, 'patch_embed.proj', weights


def _swin(network: ExtractedNetwork) -> tuple[str, dict[str, Any], str, dict[str, Tensor]]:
    config, arch = network.config, network.config['arch']
    size, window, last = config['img_size'], config['window_size'], len(arch['depths']) - 1
    tile = config['patch_size'] * 2**last * window
    if size % tile:
        raise UserError(
            f"timm's Swin shifts before it pads, ours pads before it shifts: they agree where every map is a multiple "
            f'of the window, so the image size must be a multiple of {tile}, got {size}'
        )
    arguments = dict(
        img_size=size,
        patch_size=config['patch_size'],
        embed_dim=arch['embed_dims'],
        depths=list(arch['depths']),
        num_heads=list(arch['num_heads']),
        window_size=window,
        always_partition=config['pad_small_map'],  # whether to shift also where a map is one window
        strict_img_size=False,
        global_pool='avg',
    )
    block = r'stages\.(\d+)\.blocks\.(\d+)\.'
    rules = [
        (r'patch_embed\.projection\.(.+)', r'patch_embed.proj.\1'),
        (r'patch_embed\.norm\.(.+)', r'\g<0>'),
        (block + r'(norm[12]\..+)', r'layers.\1.blocks.\2.\3'),
        (block + r'attn\.w_msa\.relative_position_index', None),
        (block + r'attn\.w_msa\.(.+)', r'layers.\1.blocks.\2.attn.\3'),
        (block + r'ffn\.layers\.0\.0\.(.+)', r'layers.\1.blocks.\2.mlp.fc1.\3'),
        (block + r'ffn\.layers\.1\.(.+)', r'layers.\1.blocks.\2.mlp.fc2.\3'),
        (r'stages\.(\d+)\.downsample\.(.+)', r'downsample.\1.\2'),
        (rf'norm{last}\.(.+)', r'norm.\1'),
        (r'norm\d\..+', None),  # timm norms the last map alone
    ]
    weights = {}
    for name, value in rename(network.weights, rules).items():
        if name.startswith('downsample.'):  # timm's belongs to the stage that follows
            _, stage, rest = name.split('.', 2)
            name, value = f'layers.{int(stage) + 1}.downsample.{rest}', merging_by_neighbour(value)
        weights[name] = value
    return 'swin_tiny_patch4_window7_224', arguments, 'patch_embed.proj', weights


def _resnet(network: ExtractedNetwork) -> tuple[str, dict[str, Any], str, dict[str, Tensor]]:
    config = network.config
    groups, stem = config['norm_cfg']['num_groups'], config['stem_channels']
    if (groups, stem) != (TIMM_GROUPS, TIMM_STEM):
        raise UserError(
            f"timm's ResNet with GroupNorm has {TIMM_GROUPS} groups and {TIMM_STEM} channels in its stem, this network "
            f'has {groups} and {stem}'
        )
    from poa_mm.models.backbones import find_family

    width, blocks = find_family(config).static_size(config)
    outputs = network.channels[0]
    if outputs % 4 or (width * 64) % (outputs // 4):
        raise UserError(f"timm's ResNet cannot have {width} middle channels of {outputs}")
    arguments = dict(
        layers=list(blocks),
        base_width=width * 64 // (outputs // 4),  # timm: middle channels are outputs / 4 * base_width / 64
        channels=[outputs // 4 * 2**i for i in range(len(blocks))],
        global_pool='avg',
    )
    rules = [
        (r'conv1\..+|layer\d+\.\d+\.(?:conv\d|downsample\.\d)\..+', r'\g<0>'),
        (r'((?:layer\d+\.\d+\.)?)gn(\d)\.(.+)', r'\1bn\2.\3'),
    ]
    return 'resnet50_gn', arguments, 'conv1', rename(network.weights, rules)


Conversion = Callable[[ExtractedNetwork], tuple[str, dict[str, Any], str, dict[str, Tensor]]]
CONVERSIONS: dict[str, Conversion] = {'VisionTransformer': _vit, 'SwinTransformer': _swin, 'ResNet': _resnet}

"""Networks as folders that transformers opens: ``AutoModel``, ``AutoBackbone`` and ``AutoImageProcessor``."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from poa_mm.errors import UserError
from poa_mm.extraction.extracted import ExtractedNetwork
from poa_mm.extraction.inputs import short_side, unit_levels
from poa_mm.files import write_atomically

from .options import Options
from .renaming import check_family, family_name, merging_by_neighbour, rename, split_qkv


def write(network: ExtractedNetwork, folder: Path, options: Options) -> str:
    """Write weights, ``config.json`` and ``preprocessor_config.json``; returns the lines that load them.

    The weights have the names of transformers 4, as the networks on the hub have; version 5 reads these, too.
    """
    from safetensors.torch import save
    from transformers import BitImageProcessor

    check_family(network, CONVERSIONS, 'transformers')
    config, weights = CONVERSIONS[family_name(network)](network)
    mean, std = unit_levels(network.inputs)
    size = network.img_size
    processor = BitImageProcessor(
        size=dict(shortest_edge=short_side(size)),
        crop_size=dict(height=size, width=size),
        resample=3,  # bicubic
        image_mean=mean,
        image_std=std,
    )
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as unchecked:
        write_atomically(Path(unchecked, 'model.safetensors'), lambda f: f.write(save(weights, {'format': 'pt'})))
        config.save_pretrained(unchecked)
        processor.save_pretrained(unchecked)
        _check_loads(unchecked, config)
        for file in Path(unchecked).iterdir():
            file.replace(folder / file.name)
    return LOADING_BACKBONE if network.config.get('pad_small_map') else LOADING_MODEL


def _check_loads(folder: str, config: Any) -> None:
    """Open the folder as its users do: no weight may be missing, and none unknown but norms of Swin.

    The backbone norms the map of each stage, the model the last one only, under another name.

    Raises:
        RuntimeError: If the library does not take the weights.
    """
    import transformers

    # Not AutoBackbone, which in transformers 5 asks the hub whether it has the folder.
    backbone = getattr(transformers, config.architectures[0].replace('Model', 'Backbone'))
    for kind, unknown in ((transformers.AutoModel, 'hidden_states_norms.'), (backbone, 'layernorm.')):
        _, report = kind.from_pretrained(folder, output_loading_info=True)
        wrong = [*report['missing_keys'], *report['mismatched_keys']]
        wrong += [name for name in report['unexpected_keys'] if not name.startswith(unknown)]
        if wrong:
            raise RuntimeError(f'{kind.__name__} does not take these weights of {folder}: {wrong}')


LOADING_MODEL = """\
from transformers import AutoImageProcessor, AutoModel

processor = AutoImageProcessor.from_pretrained('FOLDER')  # or 'REPO'
network = AutoModel.from_pretrained('FOLDER')
feature = network(**processor(image, return_tensors='pt')).pooler_output  # image: PIL, RGB
"""
# SwinModel does not shift windows in a map of one window, which the last map is at 224 pixels; SwinBackbone does.
LOADING_BACKBONE = """\
from transformers import AutoBackbone, AutoImageProcessor

processor = AutoImageProcessor.from_pretrained('FOLDER')  # or 'REPO'
network = AutoBackbone.from_pretrained('FOLDER')  # AutoModel differs: it does not shift windows in the last map
feature = network(**processor(image, return_tensors='pt')).feature_maps[-1].mean((2, 3))  # image: PIL, RGB
"""


def _vit(network: ExtractedNetwork) -> tuple[Any, dict[str, Tensor]]:
    from transformers import Dinov2Config, Dinov2WithRegistersConfig

    config, arch = network.config, network.config['arch']
    registers = config.get('num_registers', 0)
    if registers:
        kind, name, options = Dinov2WithRegistersConfig, 'Dinov2WithRegistersModel', dict(num_register_tokens=registers)
    else:
        kind, name, options = Dinov2Config, 'Dinov2Model', dict(use_mask_token=False)
    new_config = kind(
        image_size=config['img_size'],
        patch_size=config['patch_size'],
        hidden_size=arch['embed_dims'],
        num_hidden_layers=arch['num_layers'],
        num_attention_heads=arch['num_heads'],
        mlp_ratio=arch['feedforward_channels'] // arch['embed_dims'],
        layerscale_value=config['layer_scale_init_value'] or 1.0,
        layer_norm_eps=config.get('norm_cfg', {}).get('eps', 1e-6),
        use_swiglu_ffn='layer_cfgs' in config,
        architectures=[name],
        **options,
    )
    block, new = r'layers\.(\d+)\.', r'encoder.layer.\1.'
    rules = [
        ('cls_token|register_tokens', r'embeddings.\g<0>'),
        ('pos_embed', 'embeddings.position_embeddings'),
        (r'patch_embed\.projection\.(.+)', r'embeddings.patch_embeddings.projection.\1'),
        (block + r'ln([12])\.(.+)', new + r'norm\2.\3'),
        (block + r'attn\.(query|key|value)\.(.+)', new + r'attention.attention.\2.\3'),
        (block + r'attn\.proj\.(.+)', new + r'attention.output.dense.\2'),
        (block + r'attn\.gamma1\.weight', new + 'layer_scale1.lambda1'),
        (block + r'ffn\.layers\.0\.0\.(.+)', new + r'mlp.fc1.\2'),
        (block + r'ffn\.layers\.1\.(.+)', new + r'mlp.fc2.\2'),
        (block + r'ffn\.w12\.(.+)', new + r'mlp.weights_in.\2'),
        (block + r'ffn\.w3\.(.+)', new + r'mlp.weights_out.\2'),
        (block + r'ffn\.gamma2\.weight', new + 'layer_scale2.lambda1'),
        (r'ln1\.(.+)', r'layernorm.\1'),
    ]
    weights = rename(split_qkv(network.weights), rules)
    if registers:  # always has a mask token
        weights['embeddings.mask_token'] = torch.zeros(1, arch['embed_dims'])
    if not config['layer_scale_init_value']:  # Dinov2Model always has the factors
        ones = torch.ones(arch['embed_dims'])
        for layer in range(arch['num_layers']):
            weights.update({f'encoder.layer.{layer}.layer_scale{i}.lambda1': ones.clone() for i in (1, 2)})
    return new_config, weights


def _swin(network: ExtractedNetwork) -> tuple[Any, dict[str, Tensor]]:
    from transformers import SwinConfig

    config, arch = network.config, network.config['arch']
    stages = len(arch['depths'])
    new_config = SwinConfig(
        image_size=config['img_size'],
        patch_size=config['patch_size'],
        embed_dim=arch['embed_dims'],
        depths=list(arch['depths']),
        num_heads=list(arch['num_heads']),
        window_size=config['window_size'],
        drop_path_rate=0.0,
        out_indices=list(range(1, stages + 1)),
        architectures=['SwinBackbone'],
    )
    block, new = r'stages\.(\d+)\.blocks\.(\d+)\.', r'encoder.layers.\1.blocks.\2.'
    rules = [
        (r'patch_embed\.projection\.(.+)', r'embeddings.patch_embeddings.projection.\1'),
        (r'patch_embed\.norm\.(.+)', r'embeddings.norm.\1'),
        (block + r'norm1\.(.+)', new + r'layernorm_before.\3'),
        (block + r'norm2\.(.+)', new + r'layernorm_after.\3'),
        (block + r'attn\.w_msa\.proj\.(.+)', new + r'attention.output.dense.\3'),
        (block + r'attn\.w_msa\.(.+)', new + r'attention.self.\3'),
        (block + r'ffn\.layers\.0\.0\.(.+)', new + r'intermediate.dense.\3'),
        (block + r'ffn\.layers\.1\.(.+)', new + r'output.dense.\3'),
        (r'stages\.(\d+)\.downsample\.(.+)', r'encoder.layers.\1.downsample.\2'),
        (r'norm(\d)\.(.+)', r'\1 \2'),
    ]
    weights = {}
    for name, value in rename(split_qkv(network.weights), rules).items():
        if '.downsample.' in name:
            value = merging_by_neighbour(value)
        if ' ' in name:  # the norm of a stage's map; the last one is also the model's
            stage, rest = name.split()
            name = f'hidden_states_norms.stage{int(stage) + 1}.{rest}'
            if int(stage) == stages - 1:
                weights[f'layernorm.{rest}'] = value.clone()
        weights[name] = value
    return new_config, weights


def _resnet(network: ExtractedNetwork) -> tuple[Any, dict[str, Tensor]]:
    raise UserError(
        "format 'transformers' has no ResNet with GroupNorm (ResNetModel has BatchNorm only): write it with --format "
        'timm, whose folders AutoModel opens where timm is installed'
    )


CONVERSIONS = {'VisionTransformer': _vit, 'SwinTransformer': _swin, 'ResNet': _resnet}

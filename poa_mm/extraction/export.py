"""Writes a sub-network as a standalone backbone of a toolbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import poa_mm
from poa_mm.elastic import Subnet, collect_slice_rules, slice_state_dict
from poa_mm.files import write_atomically, write_text
from poa_mm.models.backbones import ElasticBackbone

from .file_format import source_of
from .formats import find_format


def export_subnet(
    backbone: ElasticBackbone,
    subnet: Subnet | str,
    out_dir: str | Path,
    meta: dict[str, Any],
    format: str = 'mmpretrain',
) -> Path:
    """Write the weights of a sub-network and a config that uses them (POA, sec. 3.3).

    ``<name>.pth`` holds just the weights of the network that ``<name>.py`` describes, with no code of this project
    but for ResNets of sizes that the toolbox has no class for. The config names the weights relative to its own
    folder, so the two can be moved together.

    Args:
        backbone: The elastic network.
        subnet: A member of its space; its name or size is the name of the files.
        out_dir: Folder to write to, made where it is missing.
        meta: Where the weights came from, as :func:`load_pretrained` gives it.
        format: Whose network: ``'mmpretrain'`` (image features), ``'mmdet'`` or ``'mmseg'`` (maps).

    Returns:
        The file with the weights.

    Raises:
        UserError: If the space has no such sub-network, there is no such format, or the sub-network is too small
            for it.
    """
    subnet = backbone.space.parse(subnet)
    target = find_format(format)
    name, config = backbone.space.name(subnet), target.network(backbone, subnet)
    contents = dict(
        meta=dict(
            subnet=str(subnet),
            format=format,
            config=config,
            num_params=count_params(backbone, subnet, format),
            img_size=backbone.img_size,
            mean=meta.get('mean'),
            std=meta.get('std'),
            **source_of(meta),
            poa_mm_version=poa_mm.__version__,
        ),
        state_dict=target.weights(backbone, subnet, backbone.extract(subnet)),
    )
    path = write_atomically(Path(out_dir, f'{name}.pth'), lambda file: torch.save(contents, file))
    write_text(path.with_suffix('.py'), _snippet(path.name, contents['meta']))
    return path


def count_params(backbone: ElasticBackbone, subnet: Subnet | str | None = None, format: str = 'mmpretrain') -> int:
    """Number of parameters of the extracted network; nothing is copied."""
    weights = {k: p.to('meta') for k, p in backbone.named_parameters() if k not in backbone.pretrain_only}
    subnet = backbone.resolve(subnet)
    sliced = slice_state_dict(weights, collect_slice_rules(backbone), backbone.space, subnet, backbone.block_prefixes)
    return sum(tensor.numel() for tensor in find_format(format).weights(backbone, subnet, sliced).values())


def _snippet(file_name: str, meta: dict[str, Any]) -> str:
    """Config text; ``{{ fileDirname }}`` is MMEngine's word for the folder of the config."""
    arguments = ''.join(f'    {key}={value!r},\n' for key, value in meta['config'].items())
    return (
        f'# Sub-network {meta["subnet"]}, {meta["num_params"]:,} parameters, extracted by poa_mm '
        f'{meta["poa_mm_version"]} for {meta["format"]}\n'
        f'# from the {meta["branch"]} of {meta["checkpoint"]}, iteration {meta["iteration"]}.\n'
        f'backbone = dict(\n{arguments}'
        f"    init_cfg=dict(type='Pretrained', checkpoint='{{{{ fileDirname }}}}/{file_name}'),\n"
        ')\n'
    )

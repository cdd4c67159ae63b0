"""Reads a file or folder of weights of any library, without executing anything in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from poa_mm.errors import UserError
from poa_mm.files import load_weights

FILES = ('model.safetensors', 'pytorch_model.bin')


@dataclass(frozen=True)
class SourceFile:
    """Weights as a library saved them.

    Args:
        path: Of the file or folder.
        weights: By the library's names.
        options: What its config says of the network, by the arguments of the elastic backbones.
        levels: ``mean`` and ``std`` of R, G, B of its images in levels of 0 to 255, where it says so.
    """

    path: str
    weights: dict[str, Tensor]
    options: dict[str, Any] = field(default_factory=dict)
    levels: dict[str, list[float]] = field(default_factory=dict)


def read_source(path: str | Path) -> SourceFile:
    """Read ``.pth``, ``.bin`` or ``.safetensors``, or a folder of ``transformers`` or timm.

    Raises:
        UserError: If it does not exist, is damaged or holds no weights.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    return SourceFile(str(path), _read_file(path))


def _read_folder(folder: Path) -> SourceFile:
    index = next(iter(sorted(folder.glob('*.index.json'))), None)
    if index is not None:
        weight_map = _read_json(index).get('weight_map', {})
        if not isinstance(weight_map, dict):
            raise UserError(f'weight_map of {index} must be a dict, got {weight_map!r}')
        files = sorted(set(map(str, weight_map.values())))
        outside = [name for name in files if Path(name).name != name]
        if outside:
            raise UserError(f'{index} names a file outside its folder: {outside[0]}')
    else:
        files = [name for name in FILES if (folder / name).is_file()][:1]
    if not files:
        raise UserError(f'{folder} holds no weights: expected {" or ".join(FILES)}')
    weights = {name: value for file in files for name, value in _read_file(folder / file).items()}
    config = _read_json(folder / 'config.json')
    processor = _read_json(folder / 'preprocessor_config.json')
    try:
        levels = config.get('pretrained_cfg') or processor
        found = {
            key: [float(x) * 255 for x in levels.get(key) or levels[f'image_{key}']]
            for key in ('mean', 'std')
            if levels.get(key) or levels.get(f'image_{key}')
        }
        return SourceFile(str(folder), weights, _read_options(folder, config), found)
    except UserError:
        raise
    except (TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f'config.json and preprocessor_config.json of {folder} are not of transformers or timm: {error}'
        ) from error


def _read_options(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a config of ``transformers`` says beyond its weights."""
    options = {}
    if config.get('hidden_act', 'gelu') != 'gelu':
        raise UserError(f'{folder} is a network with {config["hidden_act"]}; the backbones have GELU')
    if 'layer_norm_eps' in config:
        options['ln_eps'] = config['layer_norm_eps']
    heads = config.get('num_attention_heads') or (config.get('num_heads') or [None])[0]
    width = config.get('hidden_size') if config.get('num_attention_heads') else config.get('embed_dim')
    if heads and width:
        options['head_dim'] = width // heads
    return options


def _read_file(path: Path) -> dict[str, Tensor]:
    contents = _weights_of(load_weights(path))
    weights = {name: value for name, value in contents.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not weights:
        raise UserError(f'{path} holds no weights')
    return weights


def _weights_of(contents: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mapping of weights where a program nests it in its file, with the branch in the names where it says it."""
    nested = {key: value for key, value in contents.items() if isinstance(value, dict)}
    if 'state_dict' in nested:
        return nested['state_dict']
    if branches := [key for key in ('teacher', 'student') if key in nested]:
        return {f'{key}.{name}': value for key in branches for name, value in nested[key].items()}
    return nested.get('model', contents)


def _read_json(path: Path) -> dict[str, Any]:
    """The contents of a JSON file, nothing if there is none."""
    if not path.is_file():
        return {}
    try:
        contents = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise UserError(f'{path} cannot be read: {error}') from error
    if not isinstance(contents, dict):
        raise UserError(f'{path} is not a config: it holds a {type(contents).__name__}')
    return contents

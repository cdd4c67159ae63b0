"""Extracted networks for other libraries and runtimes, each a folder with a model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from poa_mm.errors import UserError
from poa_mm.extraction.extracted import ExtractedNetwork
from poa_mm.files import write_text

from .options import Options, flag
from .static import toolbox_of_maps

__all__ = ['TARGETS', 'Options', 'check_target', 'toolbox_of_maps', 'write_target']


@dataclass(frozen=True)
class Target:
    """A library or a runtime.

    Args:
        module: Module of this package with ``write(network, folder, options)``, which returns the lines that load the
            network, for the card.
        packages: Modules that it imports and that a plain installation does not have.
        options: Names of :class:`Options` that it knows.
    """

    module: str
    packages: Sequence[str]
    options: Sequence[str] = ('image_size',)


TARGETS = {
    'timm': Target('to_timm', ('timm', 'safetensors')),
    'transformers': Target('to_transformers', ('transformers', 'safetensors')),
    'onnx': Target('to_onnx', ('onnx', 'onnxscript', 'onnxruntime'), ('image_size', 'maps', 'any_size')),
    'torch.export': Target('to_torch_export', (), ('image_size', 'maps')),
    'safetensors': Target('to_safetensors', ('safetensors',)),
}


def check_target(format: str, options: Options) -> None:
    """Check what can be checked before a checkpoint is read.

    Raises:
        UserError: If the format is unknown, a package is missing, or the format does not have an option.
    """
    if format not in TARGETS:
        raise UserError(f'format must be one of {list(TARGETS)}, got {format!r}')
    target = TARGETS[format]
    missing = [package for package in target.packages if find_spec(package) is None]
    if missing:
        raise UserError(f"format {format!r} needs {', '.join(missing)}: pip install 'poa_mm[export]'")
    for option in options.given():
        if option not in target.options:
            raise UserError(
                f'--format {format} has no option {flag(option)}, only {", ".join(map(flag, target.options))}'
            )


def write_target(
    network: ExtractedNetwork,
    folder: str | Path,
    format: str,
    options: Options = Options(),
    results: Sequence[dict[str, Any]] = (),
) -> Path:
    """Write a network for a library or a runtime, and its model card.

    Args:
        network: With weights; extracted for mmpretrain, or for :func:`toolbox_of_maps` where ``options.maps`` is set.
        folder: For this network alone; made where it is missing.
        format: One of :data:`TARGETS`.
        options: See :class:`Options`.
        results: For the card, see :func:`card_text`.

    Returns:
        The folder.

    Raises:
        UserError: If the format does not fit the network, or as :func:`check_target`.
    """
    from .card import card_text

    check_target(format, options)
    network = options.apply(network)
    folder = Path(folder)
    loading = import_module(f'.{TARGETS[format].module}', __name__).write(network, folder, options)
    write_text(folder / 'README.md', card_text(network, format, loading, options, results))
    return folder

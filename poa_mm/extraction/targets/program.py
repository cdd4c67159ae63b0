"""A network as one traced program, for ONNX and ``torch.export``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim

from poa_mm.errors import UserError
from poa_mm.extraction.extracted import ExtractedNetwork

from .options import Options
from .renaming import family_name
from .static import FeatureProgram

SMALLEST_SIDE = 32  # of images of any size


def example_images(network: ExtractedNetwork, count: int, sides: tuple[int, int] | None = None) -> Tensor:
    """Random RGB levels ``(N, 3, H, W)``; the random state stays."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, *(sides or (network.img_size,) * 2), generator=generator) * 255


def trace_arguments(network: ExtractedNetwork, options: Options) -> tuple[FeatureProgram, Tensor, dict[str, Any]]:
    """The module, images to trace it with, and which of their axes stay open.

    Raises:
        UserError: For images of any size, where the family fixes it.
    """
    axes: dict[int, Any] = {0: Dim('batch', min=1)}
    if options.any_size:
        if family_name(network) != 'ResNet':
            raise UserError(
                f'--any-size needs a ResNet: a {family_name(network)} resizes its positions or cuts its windows for '
                'the size of the image while it is traced; choose the size with --image-size'
            )
        axes |= {2: Dim('height', min=SMALLEST_SIDE), 3: Dim('width', min=SMALLEST_SIDE)}
    module, images = FeatureProgram(network, options.maps), example_images(network, 2)
    with torch.no_grad():
        module(images)  # so that masks of windows are constants
    return module, images, {'images': axes}


def check_program(
    run: Any, module: FeatureProgram, network: ExtractedNetwork, options: Options, tolerance: float, what: str
) -> None:
    """Compare a written program with the network, for one and three images, and another size where it takes any.

    Args:
        run: From images ``(N, 3, H, W)`` to the list of outputs.
        module: The network.
        network: Its description.
        options: Of the export.
        tolerance: Of the outputs, relative to the largest value.
        what: The program, for the error.

    Raises:
        RuntimeError: If an output differs.
    """
    batches = [example_images(network, 1), example_images(network, 3)]
    if options.any_size:
        batches.append(example_images(network, 1, (network.img_size + 32, network.img_size)))
    for images in batches:
        with torch.no_grad():
            expected = module(images)
        expected = list(expected) if options.maps else [expected]
        for got, wanted in zip(_tensors(run(images)), expected, strict=True):
            difference = (got - wanted).abs().max() / wanted.abs().max().clamp(min=1)
            if got.shape != wanted.shape or not difference <= tolerance:
                raise RuntimeError(f'{what} does not compute what the network does: differs by {difference:.1e}')


def output_names(network: ExtractedNetwork, options: Options) -> list[str]:
    """``feature``, or ``map0``, ``map1``, ..."""
    return [f'map{i}' for i in range(len(network.channels))] if options.maps else ['feature']


def _tensors(values: Sequence[Any]) -> list[Tensor]:
    return [torch.as_tensor(value) for value in values]

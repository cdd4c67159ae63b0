"""What can be chosen when a network is written for another library."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poa_mm.errors import UserError
from poa_mm.extraction.extracted import ExtractedNetwork

from .static import build_static


@dataclass(frozen=True)
class Options:
    """Choices of ``poa extract`` beyond the format.

    Args:
        image_size: Side of the images in pixels that the network is written for; ``None`` for that of pre-training. A
            ViT's positions are resized to it by mmpretrain, once.
        maps: Whether the program returns the maps of a dense backbone instead of the image feature.
        any_size: Whether the program takes images of any height and width.
    """

    image_size: int | None = None
    maps: bool = False
    any_size: bool = False

    def given(self) -> list[str]:
        """Names of the options that differ from their defaults."""
        return [f.name for f in dataclasses.fields(self) if getattr(self, f.name) != f.default]

    def apply(self, network: ExtractedNetwork) -> ExtractedNetwork:
        """The network for images of :attr:`image_size`.

        Raises:
            UserError: If the size does not fit the network.
        """
        size = self.image_size
        if size is None or size == network.img_size:
            return network
        check_image_size(size, network.config)
        if 'img_size' not in network.config:
            return dataclasses.replace(network, img_size=size)
        config = {**network.config, 'img_size': size}
        resized = build_static(dataclasses.replace(network, config=config)).state_dict()
        return dataclasses.replace(network, config=config, img_size=size, weights=resized)


def check_image_size(size: int, config: Mapping[str, Any]) -> None:
    """Check the side of images against the config of an ordinary network.

    Raises:
        UserError: If it is not a multiple of the patch size.
    """
    patch = config.get('patch_size', 1)
    if size < 1 or size % patch:
        raise UserError(f'the image size {size} must be a multiple of the patch size {patch}')


def flag(name: str) -> str:
    """An option as it is given to ``poa extract``."""
    return '--' + name.replace('_', '-')

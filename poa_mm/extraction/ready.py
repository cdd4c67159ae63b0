"""A file as a network that takes images as they are: ``poa_mm.load``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from poa_mm.datasets.image_ops import centre_crop
from poa_mm.errors import UserError

from .inputs import resolve_inputs
from .networks import LoadedNetwork, open_network


def load(path: str | Path, subnet: str | None = None, branch: str | None = None) -> ReadyNetwork:
    """Open an extracted network or a pre-training checkpoint; nothing in the file is executed.

    ::

        import poa_mm
        from PIL import Image

        network = poa_mm.load('S.pth')
        feature = network(Image.open('dog.jpg'))  # (384,)

    Args:
        path: What ``poa extract`` wrote for mmpretrain (``.pth``, ``.safetensors``), or a checkpoint.
        subnet: Name or size of a member of a checkpoint's space; its intact network by default.
        branch: Of a checkpoint; the teacher by default.

    Raises:
        UserError: If the file does not exist, is something else, or lacks the sub-network.
    """
    return ReadyNetwork(open_network(path, branch=branch), subnet)


class ReadyNetwork(nn.Module):
    """A network with the preprocessing of its images, in evaluation mode.

    Args:
        loaded: The file.
        subnet: Name or size of a member; ``None`` for the intact one.

    Attributes:
        size: Side in pixels of the crop that the network sees.
        feature_dims: Size ``D`` of the feature.
        mean: Of R, G, B in levels of 0 to 255, ``(3, 1, 1)``.
        std: Standard deviation of the same.

    Raises:
        UserError: If the space does not contain the sub-network.
    """

    def __init__(self, loaded: LoadedNetwork, subnet: str | None = None) -> None:
        super().__init__()
        inputs = resolve_inputs(loaded.inputs)
        self.backbone, self.source = loaded.backbone, loaded.source
        self.subnet = self.backbone.resolve(subnet)
        self.size, self.feature_dims = inputs['img_size'], self.backbone.feature_dims(self.subnet)
        self.register_buffer('mean', torch.tensor(inputs['mean']).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(inputs['std']).view(3, 1, 1), persistent=False)
        self.eval()

    def preprocess(self, image: Image.Image | np.ndarray) -> Tensor:
        """An image of any size as the network expects it, on the network's device.

        The short side is resized to 8/7 of :attr:`size` (bicubic, antialiased), the centre is cropped, mean and std
        are those of pre-training.

        Args:
            image: PIL, or an array ``(H, W, 3)`` of uint8 in the order R, G, B (OpenCV reads B, G, R).

        Returns:
            ``(3, size, size)``, normalised.

        Raises:
            UserError: If it is something else.
        """
        if isinstance(image, Image.Image):
            image = np.array(image.convert('RGB'))
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            shape = getattr(image, 'shape', '')
            raise UserError(f'image must be PIL or a uint8 array (H, W, 3), got {type(image).__name__} {shape}')
        return (centre_crop(np.ascontiguousarray(image), self.size).to(self.mean.device) - self.mean) / self.std

    @torch.no_grad()
    def forward(self, images: Image.Image | np.ndarray | Sequence[Image.Image | np.ndarray] | Tensor) -> Tensor:
        """Image features.

        Args:
            images: One image or a list of images, as of :meth:`preprocess`; or preprocessed images ``(N, 3, H, W)``.

        Returns:
            ``(D,)`` of one image, else ``(N, D)``.
        """
        if isinstance(images, Tensor):
            return self.backbone.image_features(images, self.subnet)
        single = isinstance(images, Image.Image | np.ndarray)
        batch = torch.stack([self.preprocess(image) for image in ([images] if single else images)])
        features = self.backbone.image_features(batch, self.subnet)
        return features[0] if single else features

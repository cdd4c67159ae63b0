"""A dataset that turns the images of another one into random views."""

import logging
from collections.abc import Sized

import cv2
import numpy as np
import torch
from mmengine.logging import print_log
from torch.utils.data import Dataset

from poa_mm.errors import UserError
from poa_mm.registry import DATASETS

from .multi_crop import View, random_view
from .reading import UnreadableImageError, open_dataset, read_image
from .sampler import Draw

KINDS = ('global_1', 'global_2', 'local')
MAX_UNREADABLE = 10  # in a row


@DATASETS.register_module()
class ViewsDataset(Dataset):
    """Two global views and several local ones of every image of another dataset.

    The views are a pure function of the draw: the same for any number of workers and after a resume. An image that
    cannot be read is logged with its path and replaced by the next image of the dataset.

    Args:
        dataset: Config of any OpenMMLab dataset (or the dataset itself) whose pipeline gives ``img``,
            (H, W, 3) uint8 in OpenCV's order BGR, as ``LoadImageFromFile`` does.
        views: Arguments of :class:`View` under each of ``global_1``, ``global_2`` and ``local``.

    Raises:
        UserError: If the folder of the images is missing, or a view has a wrong value.

    Example::

        dataset=dict(
            type='ViewsDataset',
            dataset=dict(type='ImageFolder', data_root='data/imagenet/train'),
            views=dict(
                global_1=dict(size=224, scale=(0.32, 1.0), blur=0.0),
                global_2=dict(size=224, scale=(0.32, 1.0), blur=0.9, solarize=0.2),
                local=dict(size=96, scale=(0.05, 0.32), blur=0.5, number=8)))
    """

    nested_arguments = {f'views.{kind}': View for kind in KINDS}  # for the check of configs

    def __init__(self, dataset: dict | Sized, views: dict[str, dict]) -> None:
        if sorted(views) != sorted(KINDS):
            raise UserError(f'views are {sorted(views)}: exactly {list(KINDS)} are allowed.')
        self.views = {kind: View.from_config(kind, views[kind]) for kind in KINDS}
        first, second = self.views['global_1'], self.views['global_2']
        if (first.number, second.number) != (1, 1) or first.size != second.size:
            raise UserError(
                'global_1 and global_2 must be one view each, of one size, but are '
                f'{first.number} of {first.size} px and {second.number} of {second.size} px.'
            )
        self.dataset = open_dataset(dataset)

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped dataset (MMEngine shows it in its log)."""
        return self.dataset.metainfo

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: int | tuple) -> dict:
        """Views of one image.

        Args:
            draw: A :class:`Draw`, or an index, which is then also the position.

        Returns:
            Dict of ``global_crops`` (2, 3, S, S) and ``local_crops`` (v, 3, s, s), both uint8 RGB, and the
            draw's ``position`` and ``seed``.

        Raises:
            UnreadableImageError: If ten images in a row cannot be read; the message has the path of the last.
        """
        draw = Draw(*draw) if isinstance(draw, tuple) else Draw(draw, draw)
        image = self._load_or_next(draw.index)
        rng = np.random.default_rng((draw.seed, draw.position))
        crops = {kind: [random_view(image, view, rng) for _ in range(view.number)] for kind, view in self.views.items()}
        return dict(
            global_crops=_pack(crops['global_1'] + crops['global_2'], self.views['global_1'].size),
            local_crops=_pack(crops['local'], self.views['local'].size),
            position=draw.position,
            seed=draw.seed,
        )

    def _load_or_next(self, index: int) -> np.ndarray:
        """An unreadable file does not end a run."""
        for tried in range(MAX_UNREADABLE):
            try:
                return self.load((index + tried) % len(self))
            except UnreadableImageError as error:
                if tried + 1 == MAX_UNREADABLE:
                    raise
                print_log(f'{error}; using the next image', 'current', logging.WARNING)

    def load(self, index: int) -> np.ndarray:
        """Image of an index, (H, W, 3) uint8 RGB, not augmented.

        Raises:
            UnreadableImageError: If it cannot be read.
            UserError: If the dataset does not load images.
        """
        return read_image(self.dataset, index)


def _pack(crops: list[np.ndarray], size: int) -> torch.Tensor:
    """Crops of shape (size, size, 3) to one (N, 3, size, size) tensor."""
    if not crops:
        return torch.empty((0, 3, size, size), dtype=torch.uint8)
    return torch.from_numpy(np.stack([cv2.split(crop) for crop in crops]))

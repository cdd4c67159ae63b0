"""Frozen image features of any number of networks; each image is read once."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, all_gather_object, get_rank, get_world_size, is_main_process
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from poa_mm.elastic import Subnet
from poa_mm.errors import UserError
from poa_mm.models.backbones import ElasticBackbone

from .images import EvalImages, Item

Network = Callable[[Tensor], Tensor]  # normalised images (N, 3, S, S) -> features (N, D)
Batch = tuple[dict[str, Tensor], Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class SubnetFeatures:
    """A sub-network as a network: turns normalised images (N, 3, S, S) into features (N, D).

    Args:
        backbone: In evaluation mode.
        subnet: Of its space.
        read: Called with backbone, images and sub-network; runs it once.
    """

    backbone: ElasticBackbone
    subnet: Subnet
    read: Callable[[ElasticBackbone, Tensor, Subnet], Tensor] = ElasticBackbone.image_features

    def __call__(self, images: Tensor) -> Tensor:
        return self.read(self.backbone, images, self.subnet)


class FeatureReader:
    """Runs networks over data sets. Each process takes its share of the images.

    Args:
        networks: By name; each turns normalised images (N, 3, S, S) into features (N, D). Blocks that several
            :class:`SubnetFeatures` of a backbone begin with run once.
        mean: Mean of R, G, B, in levels of 0 to 255.
        std: Standard deviation of the same.
        batch_size: Images at a time in one process.
        num_workers: Processes that read images, for each process.
        device: Where the networks are.
        amp: Whether they run in bfloat16 (autocast).
        normalize: Whether features are L2-normalised.
        progress: Whether to show a progress bar.

    Attributes:
        unreadable: Messages about the images that this process could not read, by title and index.
    """

    def __init__(
        self,
        networks: Mapping[str, Network],
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int = 64,
        num_workers: int = 2,
        device: torch.device | str = 'cpu',
        amp: bool = False,
        normalize: bool = True,
        progress: bool = True,
    ) -> None:
        self.networks = dict(networks)
        self.device = torch.device(device)
        self.mean = torch.tensor(mean, device=self.device).view(3, 1, 1)
        self.std = torch.tensor(std, device=self.device).view(3, 1, 1)
        self.batch_size, self.num_workers, self.amp = batch_size, num_workers, amp
        self.normalize, self.progress = normalize, progress
        self.unreadable: dict[tuple[str, int], str] = {}

    def batches(self, images: EvalImages, title: str) -> Iterator[Batch]:
        """Features of this process's share of the images, batch by batch.

        Args:
            images: The data set; process ``r`` of ``w`` takes the images ``r, r + w, ...``.
            title: Of the progress bar, ``'train'`` or ``'val'``.

        Yields:
            Features (n, D) in fp32 by network, labels (n,), and indices in the data set (n,).
        """
        share = Subset(images, range(get_rank(), len(images), get_world_size()))
        loader = DataLoader(
            share,
            self.batch_size,
            num_workers=self.num_workers,
            collate_fn=list,
            pin_memory=self.device.type == 'cuda',
        )
        with progress_bar(len(images), title, 'image', shown=self.progress) as bar:
            for items in loader:
                batch = self.readable(items, title)
                if batch is not None:
                    pixels, labels, index = batch
                    yield self.run(pixels, index), labels, index
                bar.update(min(len(items) * get_world_size(), bar.total - bar.n))

    def readable(self, items: Sequence[Item], title: str) -> tuple[Tensor, Tensor, Tensor] | None:
        """Pixels (n, 3, S, S) uint8, labels and indices (n,) on the device, of the images that could be read.

        Logs a warning for each of the others, once. ``None`` without images.
        """
        for item in items:
            if item.image is None and (title, item.index) not in self.unreadable:
                self.unreadable[title, item.index] = item.reason
                _warn(item.reason)
        items = [item for item in items if item.image is not None]
        if not items:
            return None
        pixels = torch.stack([item.image for item in items]).to(self.device, non_blocking=True)
        labels = torch.tensor([item.label for item in items], device=self.device)
        return pixels, labels, torch.tensor([item.index for item in items], device=self.device)

    @torch.no_grad()
    def run(self, pixels: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Features (N, D) of every network for images (N, 3, S, S) uint8 RGB; ``index`` (N,) is not used."""
        return self.outputs(self.networks, self.normalized(pixels))

    def outputs(self, networks: Mapping[str, Network], images: Tensor) -> dict[str, Tensor]:
        """Features (N, D) in fp32 of every network for normalised images."""
        found: dict[str, Tensor] = {}
        members: dict[ElasticBackbone, dict[Subnet, str]] = {}
        for name, network in networks.items():
            if isinstance(network, SubnetFeatures) and network.subnet not in members.setdefault(network.backbone, {}):
                members[network.backbone][network.subnet] = name
            else:
                found[name] = self.output(network, images)
        for backbone, names in members.items():
            for subnet in backbone.in_turn(names):
                found[names[subnet]] = self.output(networks[names[subnet]], images)
        return found

    def normalized(self, pixels: Tensor) -> Tensor:
        """Images (N, 3, S, S) of mean 0 and deviation 1 from uint8 RGB."""
        return (pixels - self.mean) / self.std

    def output(self, network: Network, images: Tensor) -> Tensor:
        """Features (N, D) in fp32 of normalised images."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            features = network(images)
        return F.normalize(features.float(), dim=-1) if self.normalize else features.float()

    def no_images(self, crop: int) -> Batch:
        """An empty batch (0, D), with features as wide as those of images with this crop in pixels."""
        image = torch.zeros((1, 3, crop, crop), dtype=torch.uint8, device=self.device)
        index = torch.zeros(1, dtype=torch.int64, device=self.device)
        return {name: rows[:0] for name, rows in self.run(image, index).items()}, index[:0], index[:0]

    def collect(self, images: EvalImages, title: str) -> Batch:
        """Features of all images, gathered from all processes, in the order of the data set.

        Returns:
            As :meth:`batches`, for the whole data set without its unreadable images.

        Raises:
            UserError: If no image could be read.
        """
        found = [self.no_images(images.crop), *self.batches(images, title)]  # a share may be empty
        index = gather_rows(torch.cat([batch[2] for batch in found]))
        if not len(index):
            raise UserError(
                f'none of the {len(images)} images could be read; {next(iter(self.unreadable.values()), "")}'
            )
        order = index.argsort()
        labels = gather_rows(torch.cat([batch[1] for batch in found]))[order]
        features = {
            name: gather_rows(torch.cat([batch[0].pop(name) for batch in found]))[order] for name in self.networks
        }
        return features, labels, index[order]

    def all_unreadable(self) -> dict[tuple[str, int], str]:
        """:attr:`unreadable` of all processes; logs a warning if there are any."""
        found = {key: reason for share in all_gather_object(self.unreadable) for key, reason in share.items()}
        if found and is_main_process():
            for key in found.keys() - self.unreadable.keys():  # other processes' loggers are silent
                _warn(found[key])
            _warn(f'{len(found)} images could not be read and were left out')
        return found


def _warn(text: str) -> None:
    print_log(text, 'current', logging.WARNING)


def progress_bar(total: int, title: str, unit: str, initial: int = 0, shown: bool = True) -> tqdm:
    """A progress bar in the first process only; it writes few lines into a log file."""
    interval = 0.5 if sys.stderr.isatty() else 10
    hidden = not (shown and is_main_process())
    return tqdm(total=total, desc=title, unit=unit, initial=initial, disable=hidden, mininterval=interval)


def gather_rows(rows: Tensor) -> Tensor:
    """Rows of all processes, one process after another; they may hold different numbers of them."""
    if get_world_size() == 1:
        return rows
    sizes = [int(n) for n in all_gather(torch.tensor([len(rows)], device=rows.device))]
    padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
    padded[: len(rows)] = rows
    return torch.cat([part[:n] for part, n in zip(all_gather(padded), sizes)])

"""The networks that are shown side by side: sub-networks of checkpoints, and extracted ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from poa_mm.elastic import Subnet
from poa_mm.errors import UserError
from poa_mm.extraction import open_network, resolve_inputs
from poa_mm.extraction.checkpoint import read_config
from poa_mm.files import load_weights
from poa_mm.models.backbones import ElasticBackbone
from poa_mm.models.heads import MultiPrototypeHead
from poa_mm.registry import MODELS, check_types


@dataclass(frozen=True)
class ShownNetwork:
    """A sub-network and what turns pixels into its input.

    Args:
        label: Its name in pictures.
        backbone: What holds it, in evaluation mode.
        subnet: The sub-network.
        side: Height and width of its images in pixels, a multiple of :attr:`stride`.
        mean: Mean of R, G, B in levels of 0 to 255.
        std: Standard deviation of R, G, B in the same unit.
        heads: The prototype heads for ``'image'`` and for ``'patch'`` features; empty for an extracted network.
    """

    label: str
    backbone: ElasticBackbone
    subnet: Subnet
    side: int
    mean: Sequence[float]
    std: Sequence[float]
    heads: dict[str, MultiPrototypeHead] = field(default_factory=dict)

    @property
    def stride(self) -> int:
        """Side in pixels of what one patch feature describes."""
        return map_stride(self.backbone)

    def pixels(self, images: Sequence[np.ndarray]) -> Tensor:
        """Images ``(H, W, 3)`` uint8 RGB of any size to ``(N, 3, side, side)`` uint8.

        The short side is resized (bicubic, antialiased), then the centre is cropped.
        """
        parts = [torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1) for image in images]
        resized = (TF.resize(p, [self.side], TF.InterpolationMode.BICUBIC, antialias=True) for p in parts)
        return torch.stack([TF.center_crop(part, [self.side]) for part in resized])

    def normalized(self, pixels: Tensor) -> Tensor:
        """``(N, 3, S, S)`` uint8 to what the network reads, on its device."""
        device = next(self.backbone.parameters()).device
        mean, std = (torch.tensor(values, device=device).float().view(3, 1, 1) for values in (self.mean, self.std))
        return (pixels.to(device) - mean) / std

    @torch.no_grad()
    def features(self, pixels: Tensor, batch_size: int = 16) -> tuple[Tensor, Tensor]:
        """Image features ``(N, D)`` and maps ``(N, h, w, D)`` of patch features, on the CPU, of ``(N, 3, S, S)``."""
        found = [self.backbone([self.normalized(batch)], subnet=self.subnet)[0] for batch in pixels.split(batch_size)]
        patches = torch.cat([patches.cpu() for _, patches in found])
        rows = round(patches.shape[1] ** 0.5)
        # Swin and ResNet repeat each position of their last map for all mask cells that it covers.
        repeats = rows * self.stride // self.side
        maps = patches.unflatten(1, (rows, rows))[:, ::repeats, ::repeats]
        return torch.cat([image.cpu() for image, _ in found]), maps


def map_stride(backbone: ElasticBackbone) -> int:
    """Side in pixels of what one position of the last map describes."""
    return backbone.cells.last_stride if hasattr(backbone, 'cells') else backbone.patch_size


def open_networks(
    files: Sequence[str | Path],
    subnets: Sequence[str] = ('named',),
    branch: str | None = None,
    side: int | None = None,
    device: torch.device | str = 'cpu',
) -> list[ShownNetwork]:
    """The chosen sub-networks of all files.

    Args:
        files: Pre-training checkpoints and extracted files. Nothing in them is executed.
        subnets: Of a checkpoint, what :meth:`SubnetSpace.select` takes.
        branch: Whose weights of a checkpoint, ``'teacher'`` or ``'student'``; by default what
            :func:`~poa_mm.extraction.open_network` takes.
        side: Side of the images in pixels, rounded down to whole patches; by default twice what a network is made
            for, so that its map has four times the patches.
        device: Where the networks run.

    Raises:
        UserError: If a file cannot be used, a sub-network is not in a space, or an image would not have a patch.
    """
    found = []
    for file in files:
        opened = open_network(file, branch=branch)
        backbone = opened.backbone.to(device)
        heads = (
            open_heads(file, backbone.feature_dims(), opened.source['branch'], device)
            if opened.kind == 'pretrained'
            else {}
        )
        inputs = resolve_inputs(opened.inputs)
        chosen = backbone.space.select(subnets if opened.kind == 'pretrained' else ['intact'])
        for subnet in chosen:
            name = backbone.space.name(subnet) if opened.kind == 'pretrained' else Path(file).stem
            stride = map_stride(backbone)
            whole = (side or 2 * inputs['img_size']) // stride * stride
            if whole == 0:
                raise UserError(f'images of {side} pixels are smaller than a patch of {name}, {stride} pixels')
            found.append((file, ShownNetwork(name, backbone, subnet, whole, inputs['mean'], inputs['std'], heads)))
    count = Counter(network.label for _, network in found)
    labels = [n.label if count[n.label] == 1 else f'{Path(file).stem} {n.label}' for file, n in found]
    doubled = [label for label, number in Counter(labels).items() if number > 1]
    if doubled:
        raise UserError(f'two networks have the name {doubled[0]!r}: rename a file, or give each once')
    return [replace(network, label=label) for label, (_, network) in zip(labels, found)]


def open_heads(
    file: str | Path, width: int, branch: str = 'teacher', device: torch.device | str = 'cpu'
) -> dict[str, MultiPrototypeHead]:
    """The heads of a pre-training checkpoint, for ``'image'`` and ``'patch'`` features; empty if it has none.

    Args:
        file: The checkpoint.
        width: Size of the image feature of the intact network.
        branch: ``'teacher'`` or ``'student'``.
        device: Where they run.
    """
    contents = load_weights(file)
    cfg, weights = read_config(contents['meta']['cfg']), contents['state_dict']
    prefix = 'teacher.' if branch == 'teacher' else ''
    if not any(name.startswith(f'{prefix}head.heads.') for name in weights):
        return {}
    heads = {}
    for kind, part in (('image', 'head'), ('patch', 'patch_head')):
        head_cfg = cfg.model.get(part)
        if head_cfg is None:
            heads[kind] = heads['image']
            continue
        check_types(head_cfg, f'the config in {file}', lambda cls: issubclass(cls, MultiPrototypeHead))
        head = MODELS.build({'_scope_': 'poa_mm', 'embed_dims': width, **head_cfg})
        own = {k.removeprefix(f'{prefix}{part}.'): v for k, v in weights.items() if k.startswith(f'{prefix}{part}.')}
        head.load_state_dict(own)
        heads[kind] = head.to(device).eval()
    return heads

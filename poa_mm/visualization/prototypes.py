"""Images, and patches, that a network assigns to the same prototype (POA, figure 11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from poa_mm.models.heads import MultiPrototypeHead

from .canvas import image_grid, show


class Group(NamedTuple):
    """What shares one prototype, the nearest first."""

    prototype: int
    images: list[int]
    patches: list[int] | None  # index into the rows of the image's map; None for whole images


@torch.no_grad()
def assign(head: MultiPrototypeHead, features: Tensor, chunk: int = 1024) -> tuple[Tensor, Tensor]:
    """The nearest prototype ``(N,)`` of features ``(N, D)`` and its logit ``(N,)``, by the head with the fewest.

    Few prototypes are shared by more images than many are.
    """
    fewest = min(range(len(head.heads)), key=lambda i: len(head.heads[i].last_layer.weight_v))
    one, prototypes = head.heads[fewest], head.prototypes()[fewest]
    found = [one(part.to(prototypes.device), prototypes).max(1) for part in features.float().split(chunk)]
    return torch.cat([f.indices for f in found]).cpu(), torch.cat([f.values for f in found]).cpu()


def shared_by_images(prototypes: Tensor, logits: Tensor, groups: int, members: int) -> list[Group]:
    """The prototypes with the most images, ``members`` of each.

    Args:
        prototypes: Of every image, from :func:`assign`, ``(N,)``.
        logits: Of the same, ``(N,)``.
        groups: At most so many prototypes; one that has a single image is not shared.
        members: At most so many images of each.
    """
    counts = torch.bincount(prototypes)
    chosen = [p for p in counts.argsort(descending=True, stable=True)[:groups].tolist() if counts[p] > 1]
    found = []
    for p in chosen:
        index = (prototypes == p).nonzero().squeeze(1)
        best = index[logits[index].argsort(descending=True)][:members]
        found.append(Group(p, best.tolist(), None))
    return found


def shared_by_patches(prototypes: Tensor, logits: Tensor, groups: int, members: int) -> list[Group]:
    """The prototypes that patches of the most images share, the best patch of each image.

    Args:
        prototypes: Of every patch of every image, from :func:`assign`, ``(N, P)``.
        logits: Of the same, ``(N, P)``.
        groups: At most so many prototypes.
        members: At most so many images of each.
    """
    n, p = prototypes.shape
    pairs = torch.unique(prototypes.flatten() * n + torch.arange(n).repeat_interleave(p))  # each image counts once
    counts = torch.bincount(pairs // n)
    found = []
    for prototype in counts.argsort(descending=True, stable=True)[:groups].tolist():
        if counts[prototype] < 2:
            break
        best, patch = logits.masked_fill(prototypes != prototype, -torch.inf).max(1)
        images = best.argsort(descending=True)[: min(members, int(counts[prototype]))]
        found.append(Group(prototype, images.tolist(), patch[images].tolist()))
    return found


def draw_groups(pixels: Tensor, groups: Sequence[Group], side: int, context: int = 5) -> Figure:
    """A row for each prototype; of patches, the surroundings with the patch in a frame.

    Args:
        pixels: All images ``(N, 3, S, S)`` uint8.
        groups: What to show.
        side: Patches on a side of an image.
        context: Side of the shown surroundings, in patches.
    """
    columns = max(len(group.images) for group in groups)
    figure, axes = image_grid(len(groups), columns, 1.2, captions=True)
    window = min(context, side) / side
    for row, group in zip(axes, groups):
        for i, (cell, image) in enumerate(zip(row, group.images)):
            show(cell, pixels[image])
            if group.patches is not None:
                top, left = divmod(group.patches[i], side)
                x, y = ((v + 0.5) / side - window / 2 for v in (left, top))
                x, y = (min(max(v, 0.0), 1 - window) for v in (x, y))
                cell.set_xlim(x, x + window)
                cell.set_ylim(y + window, y)
                frame = dict(fill=False, edgecolor='white', lw=1.5)
                cell.add_patch(Rectangle((left / side, top / side), 1 / side, 1 / side, **frame))
        for cell in row[len(group.images) :]:
            cell.set_visible(False)
        row[0].set_xlabel(f'prototype {group.prototype}', fontsize=7, labelpad=1, loc='left')
    return figure

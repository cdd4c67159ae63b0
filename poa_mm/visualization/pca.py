"""The three directions in which patch features vary most, as red, green and blue."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from .canvas import image_grid, show


def principal_coordinates(maps: Tensor) -> Tensor:
    """Coordinates of patch features along their first three principal components, of variance 1.

    Args:
        maps: Patch features of all images of one network ``(N, h, w, D)``: the components are common to them.

    Returns:
        ``(N, h, w, 3)`` fp32.
    """
    flat = maps.flatten(0, 2).float().cpu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the method is randomised
        _, _, components = torch.pca_lowrank(flat, q=min(6, *flat.shape), niter=4)
    coordinates = (flat - flat.mean(0)) @ components[:, :3]
    deviation = coordinates.std(0, correction=min(1, len(flat) - 1))  # a single patch has none
    coordinates = F.pad(coordinates / deviation.clamp(min=1e-6), (0, 3 - coordinates.shape[1]))
    return coordinates.view(*maps.shape[:3], 3)


def aligned(coordinates: Tensor, reference: Tensor) -> Tensor:
    """Coordinates rotated to be as near as possible to those of another network on the same images.

    Principal components have no natural order or sign across networks; without this, one object would have another
    colour in each (orthogonal Procrustes problem).

    Args:
        coordinates: ``(N, h, w, 3)``.
        reference: ``(N, h', w', 3)``.

    Returns:
        ``(N, h, w, 3)``.
    """
    target = F.interpolate(reference.permute(0, 3, 1, 2), coordinates.shape[1:3], mode='bilinear')
    u, _, vh = torch.linalg.svd(coordinates.flatten(0, 2).T @ target.permute(0, 2, 3, 1).flatten(0, 2))
    return coordinates @ (u @ vh)


def as_colours(coordinates: Tensor, tail: float = 0.02) -> Tensor:
    """Coordinates ``(N, h, w, 3)`` to colours in [0, 1]; the outermost ``tail`` on each side is cut off."""
    low, high = torch.quantile(coordinates.flatten(0, 2), torch.tensor([tail, 1 - tail]), dim=0)
    return ((coordinates - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)


def draw_pca(pixels: Tensor, columns: Sequence[tuple[str, Tensor]]) -> Figure:
    """A row for each image: itself, then its patches in colours of every network.

    Args:
        pixels: Images ``(N, 3, S, S)`` uint8.
        columns: Label and maps of patch features ``(N, h, w, D)`` of every network.
    """
    figure, axes = image_grid(len(pixels), 1 + len(columns), titles=['image', *(label for label, _ in columns)])
    coordinates = [principal_coordinates(maps) for _, maps in columns]
    colours = [as_colours(aligned(one, coordinates[0])) for one in coordinates]
    for i, row in enumerate(axes):
        show(row[0], pixels[i])
        for cell, colour in zip(row[1:], colours):
            show(cell, colour[i].numpy())
    return figure

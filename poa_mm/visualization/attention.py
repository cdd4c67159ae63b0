"""Where the class token of a ViT looks in its last block (POA, figures 8 and 9)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from poa_mm.elastic import Subnet
from poa_mm.errors import UserError
from poa_mm.models.backbones import ElasticBackbone, ElasticVisionTransformer

from .canvas import image_grid, show
from .networks import ShownNetwork


@torch.no_grad()
def last_attention(backbone: ElasticBackbone, images: Tensor, subnet: Subnet | str | None = None) -> Tensor:
    """Attention probabilities of the last block.

    The block computes its attention in one fused kernel that does not return them, so they are computed again from
    the queries and keys of its own ``qkv`` layer.

    Args:
        backbone: A Vision Transformer.
        images: Normalised images ``(N, 3, H, W)``.
        subnet: The sub-network to run; ``None`` for the intact one.

    Returns:
        ``(N, heads, T, T)``, rows of sum 1; token 0 is the class token, the last ones are the patches.

    Raises:
        UserError: If the backbone is not a Vision Transformer.
    """
    if not isinstance(backbone, ElasticVisionTransformer):
        raise UserError(f'only a Vision Transformer has a class token, {type(backbone).__name__} has none')
    attention = backbone.layers[backbone.space.active_blocks(backbone.resolve(subnet))[0][-1]].attn
    outputs = []
    handle = attention.qkv.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        backbone([images], subnet=subnet)
    finally:
        handle.remove()
    (qkv,) = outputs
    q, k, _ = qkv.view(len(images), -1, 3, qkv.shape[-1] // 3 // attention.head_dim, attention.head_dim).unbind(2)
    scores = torch.einsum('nlhd,nmhd->nhlm', q, k).float() * attention.head_dim**-0.5
    return scores.softmax(-1)


def class_attention(network: ShownNetwork, pixels: Tensor) -> Tensor:
    """How much each head's class token attends to every patch: ``(N, heads, h, w)``, of ``(N, 3, S, S)`` uint8."""
    rows = network.side // network.stride
    maps = [
        last_attention(network.backbone, network.normalized(image[None]), network.subnet)[:, :, 0, -(rows**2) :]
        for image in pixels
    ]
    return torch.cat(maps).unflatten(2, (rows, rows)).cpu()


def draw_heads(pixels: Tensor, maps: Tensor) -> Figure:
    """A row for each image: itself, then the attention of each head, each scaled to its own maximum.

    Args:
        pixels: Images ``(N, 3, S, S)`` uint8.
        maps: Of :func:`class_attention`, ``(N, heads, h, w)``.
    """
    heads = maps.shape[1]
    figure, axes = image_grid(len(pixels), 1 + heads, 1.2, ['', *(f'head {i + 1}' for i in range(heads))])
    for row, image, attention in zip(axes, pixels, maps):
        show(row[0], image)
        for cell, head in zip(row[1:], attention):
            show(cell, head, cmap='inferno', vmin=0)
    return figure


def draw_attention(columns: Sequence[tuple[str, Tensor, Tensor]]) -> Figure:
    """A row for each image: itself, then the mean attention of all heads of every network.

    Args:
        columns: Label, images ``(N, 3, S, S)`` uint8 and :func:`class_attention` of every network.
    """
    figure, axes = image_grid(len(columns[0][1]), 1 + len(columns), titles=['', *(label for label, *_ in columns)])
    for i, row in enumerate(axes):
        show(row[0], columns[0][1][i])
        for cell, (_, _, maps) in zip(row[1:], columns):
            show(cell, maps[i].mean(0), cmap='inferno', vmin=0)
    return figure

"""Sorts the channels, heads and hidden units of a trained network, so that its slices keep the important ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from poa_mm.datasets.image_ops import centre_crop
from poa_mm.datasets.reading import open_folder, read_images
from poa_mm.elastic.reordering import gate_gradients, magnitude, permute_units
from poa_mm.models.backbones import ElasticBackbone

Scores = dict[str, Tensor]


def magnitude_scores(backbone: ElasticBackbone) -> tuple[Scores, dict[str, float]]:
    """Importance by the size of the weights.

    Returns:
        For every name of :meth:`ElasticBackbone.units` the importances ``(number,)``. And for every block the sum of
        squares of its branches' last weights, LayerScale included.
    """
    weights = {name: parameter.detach() for name, parameter in backbone.named_parameters()}
    blocks = {}
    for block, branches in backbone.branches().items():
        layers = [(weights[f'{branch.layer}.weight'], weights.get(branch.scale)) for branch in branches]
        scaled = [weight if scale is None else weight * scale[:, None] for weight, scale in layers]
        blocks[block] = float(sum(weight.square().sum() for weight in scaled))
    return {units.name: magnitude(units, weights) for units in backbone.units()}, blocks


def first_order_scores(
    backbone: ElasticBackbone, batches: Iterable[Tensor], seed: int = 0
) -> tuple[Scores, dict[str, float]]:
    """Importance by the first-order change of the features without a unit (after Molchanov et al., CVPR 2019).

    Needs no labels. Let ``J`` be the derivatives of all features of all images by a factor on a unit. The importance is
    ``|J|^2``, the squared change of the features to first order when the unit is removed. A backward pass from the
    features times random numbers ``r`` gives ``r J``, whose square has that mean over ``r``. The features are the image
    feature and, weighted to count as much, the patch features.

    Args:
        backbone: The network; its gradients are used and cleared.
        batches: Normalised images ``(N, 3, H, W)``; for each, ``r`` is drawn once.
        seed: Of ``r``.

    Returns:
        As :func:`magnitude_scores`; a block's importance is that of its two residual branches.
    """
    units, branches = backbone.units(), backbone.branches()
    scores = {u.name: torch.zeros(u.number, dtype=torch.float64) for u in units}
    blocks = dict.fromkeys(branches, 0.0)
    weights = {name: parameter.detach() for name, parameter in backbone.named_parameters()}
    generator = torch.Generator().manual_seed(seed)
    for images in batches:
        backbone.zero_grad()
        ((features, patches),) = backbone([images])
        total = (features * torch.randn(features.shape, generator=generator)).sum()
        noise = torch.randn(patches.shape, generator=generator) / patches.shape[1] ** 0.5
        (total + (patches * noise).sum()).backward()
        gradients = {name: parameter.grad for name, parameter in backbone.named_parameters()}
        for u in units:
            scores[u.name] += gate_gradients(u, weights, gradients).square()
        for block, parts in branches.items():
            for branch in parts:
                names = [f'{branch.layer}.{part}' for part in ('weight', 'bias')]
                blocks[block] += float(sum((weights[n] * gradients[n]).sum() for n in names)) ** 2
    backbone.zero_grad()
    return scores, blocks


def reorder(backbone: ElasticBackbone, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sort all units, the most important first. The intact network computes what it did, its channels permuted.

    Args:
        backbone: Changed in place.
        scores: By the names of :meth:`ElasticBackbone.units`.

    Returns:
        By the same names the order ``(number,)``: indices into the old one.
    """
    parameters, orders = dict(backbone.named_parameters()), {}
    for units in backbone.units():
        orders[units.name] = order = scores[units.name].argsort(descending=True, stable=True)
        for member in units.members:
            parameter = parameters[member.name]
            parameter.data = permute_units(parameter.data, member, order)
    return orders


def reorder_head(head: Mapping[str, Tensor], order: Tensor) -> dict[str, Tensor]:
    """Weights of prototype heads on the permuted image feature: the columns of every first layer are permuted alike."""
    return {
        name: value.index_select(1, order) if name.endswith('.mlp.0.weight') else value for name, value in head.items()
    }


def read_batches(
    folder: str, number: int, img_size: int, mean: list[float], std: list[float], batch_size: int = 8
) -> Iterable[Tensor]:
    """Normalised batches ``(N, 3, S, S)`` of at most so many images of a folder.

    Raises:
        UserError: Without images.
    """
    levels = [torch.tensor(x).view(3, 1, 1) for x in (mean, std)]
    images = [centre_crop(image, img_size) for image in read_images(open_folder(folder), number)]
    for start in range(0, len(images), batch_size):
        yield (torch.stack(images[start : start + batch_size]) - levels[0]) / levels[1]

"""Chooses the sub-network that fits a budget of parameters, operations or time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from poa_mm.datasets.image_ops import centre_crop
from poa_mm.datasets.reading import open_folder, read_images
from poa_mm.elastic import Subnet
from poa_mm.errors import UserError
from poa_mm.extraction import LoadedNetwork, resolve_inputs
from poa_mm.extraction.complexity import space_complexity
from poa_mm.models.backbones import ElasticBackbone
from poa_mm.registry import MODELS

COSTS = {'params': 'million parameters', 'macs': 'billion operations', 'latency': 'ms per batch'}


@dataclass(frozen=True)
class Choice:
    """A sub-network with what it costs and what it is worth.

    Args:
        subnet: The sub-network.
        name: In its space.
        params: Millions of parameters of the extracted network.
        macs: Billions of multiply-accumulate operations for one image (:class:`Complexity`).
        quality: k-NN accuracy, or similarity with the intact network, in per cent.
        latency: Median time of a batch in milliseconds; ``None`` where it was not measured.
    """

    subnet: Subnet
    name: str
    params: float
    macs: float
    quality: float
    latency: float | None = None


@dataclass(frozen=True)
class Budget:
    """Upper limits; ``None`` for no limit.

    Args:
        params: Millions of parameters.
        macs: Billions of operations for one image.
        latency: Milliseconds for a batch.

    Raises:
        UserError: If no limit is given or one is not positive.
    """

    params: float | None = None
    macs: float | None = None
    latency: float | None = None

    def __post_init__(self) -> None:
        limits = self.limits
        if not limits:
            raise UserError('give at least one of --max-params, --max-flops and --max-latency')
        for cost, limit in limits.items():
            if not limit > 0:
                raise UserError(f'the limit of {COSTS[cost]} must be positive, got {limit}')

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set."""
        return {cost: limit for cost in COSTS if (limit := getattr(self, cost)) is not None}

    def allows(self, choice: Choice) -> bool:
        """Whether all costs that are known are within the limits."""
        known = {cost: getattr(choice, cost) for cost in self.limits}
        return all(value is None or value <= self.limits[cost] for cost, value in known.items())


def list_choices(backbone: ElasticBackbone, quality: Mapping[Subnet, float], image_size: int) -> list[Choice]:
    """Every member of the space whose quality is known, with its parameters and operations."""
    costs = space_complexity(backbone, image_size)
    return [
        Choice(s, backbone.space.name(s), costs[s].params / 1e6, costs[s].macs / 1e9, quality[s])
        for s in backbone.space
        if s in quality
    ]


def pareto_front(choices: Iterable[Choice], cost: str) -> list[Choice]:
    """The choices that no other beats in quality at the same or a smaller cost, cheapest first."""
    front: list[Choice] = []
    for choice in sorted(choices, key=lambda c: (getattr(c, cost), -c.quality)):
        if not front or choice.quality > front[-1].quality:
            front.append(choice)
    return front


def near_front(choices: Sequence[Choice], cost: str, most: int) -> list[Choice]:
    """The front and the choices that come closest to it in quality at their cost, at most ``most`` beside the front."""
    front = pareto_front(choices, cost)

    def distance(choice: Choice) -> float:
        return max(f.quality for f in front if getattr(f, cost) <= getattr(choice, cost)) - choice.quality

    others = sorted((c for c in choices if c not in front), key=distance)
    return front + others[:most]


def select(
    choices: Sequence[Choice], budget: Budget, backbone: ElasticBackbone, most: int = 12, **timing: Any
) -> tuple[Choice, list[Choice]]:
    """The best choice within a budget.

    Only with a limit on latency is time measured: that of the choices near the front of quality over operations that
    keep the other limits.

    Args:
        choices: From :func:`list_choices`.
        budget: The limits.
        backbone: The elastic network.
        most: Choices beside the front whose time is measured.
        **timing: Arguments of :func:`measure_latency`.

    Returns:
        The choice of the highest quality (the cheapest of several), and the choices that keep all limits but that on
        latency, those that were measured with their latency.

    Raises:
        UserError: If no member fits; names the one that comes nearest.
    """
    allowed = [choice for choice in choices if budget.allows(choice)]
    if allowed and budget.latency is not None:
        measured = near_front(allowed, 'macs', most)
        smallest = min(allowed, key=lambda c: c.macs)
        measured += [smallest] if smallest not in measured else []
        times = {c.subnet: measure_latency(backbone, c.subnet, **timing) for c in measured}
        allowed = [replace(c, latency=times.get(c.subnet)) for c in allowed]
    fitting = [c for c in allowed if budget.allows(c) and (budget.latency is None or c.latency is not None)]
    if not fitting:
        cheapest = min(allowed or choices, key=lambda c: (math.inf if c.latency is None else c.latency, c.macs))
        time = f', {cheapest.latency:.2f} ms' if cheapest.latency else ''
        raise UserError(
            f'no sub-network fits the limits; the smallest is {cheapest.name} with '
            f'{cheapest.params:.2f}M parameters and {cheapest.macs:.2f}G operations{time}'
        )
    return max(fitting, key=lambda c: (c.quality, -c.macs)), allowed


def measure_latency(
    backbone: ElasticBackbone,
    subnet: Subnet | str,
    image_size: int,
    batch: int = 1,
    device: str = 'cpu',
    threads: int | None = None,
    seconds: float = 1.0,
) -> float:
    """Median time in milliseconds of the ordinary network that a sub-network becomes, in fp32 with random weights.

    Args:
        backbone: The elastic network.
        subnet: A member of its space.
        image_size: Side of the images in pixels.
        batch: Images at a time.
        device: ``'cpu'`` or ``'cuda'``.
        threads: Of the CPU; ``None`` for PyTorch's number.
        seconds: Duration of the measurement.
    """
    network = MODELS.build({'_scope_': 'poa_mm', **backbone.static_config(subnet)})
    network.eval()
    network.to(device)
    images = torch.zeros(batch, 3, image_size, image_size, device=device)
    timer = Timer(
        'network(images)', globals=dict(network=network, images=images), num_threads=threads or torch.get_num_threads()
    )
    with torch.inference_mode():
        timer.timeit(1)  # chooses kernels
        return timer.blocked_autorange(min_run_time=seconds).median * 1e3


def quality_from_results(results: Mapping[str, Any], backbone: ElasticBackbone) -> dict[Subnet, float]:
    """k-NN accuracy in per cent by sub-network, from a result file of k-NN.

    Raises:
        UserError: If the file has no member of this space.
    """
    entries = [entry for entry in results['results'] if entry['kind'] == 'pretrained']
    members = {str(subnet): subnet for subnet in backbone.space}
    quality = {members[e['subnet']]: e['best'] for e in entries if e.get('subnet') in members}
    if not quality:
        raise UserError('the result file has no sub-network of this space: make one with poa knn FILE --subnets all')
    return quality


def quality_from_images(
    network: LoadedNetwork, folder: str, most: int = 512, device: str = 'cpu', batch_size: int = 64
) -> dict[Subnet, float]:
    """Similarity in per cent of every member's image features with the intact network's, without labels.

    Linear centred kernel alignment (Kornblith et al., "Similarity of neural network representations revisited",
    ICML 2019), which compares features of different sizes.

    Args:
        network: The checkpoint.
        folder: Images, at any depth.
        most: At most so many images, evenly spaced.
        device: Where the networks run.
        batch_size: Images at a time.
    """
    backbone, inputs = network.backbone.to(device), resolve_inputs(network.inputs)
    size = inputs['img_size']
    mean, std = (torch.tensor(inputs[key], device=device).view(3, 1, 1) for key in ('mean', 'std'))
    found = read_images(open_folder(folder), most)
    features: dict[Subnet, list[Tensor]] = {subnet: [] for subnet in backbone.space}
    with torch.inference_mode():
        for start in range(0, len(found), batch_size):
            crops = torch.stack([centre_crop(image, size) for image in found[start : start + batch_size]]).to(device)
            crops = (crops - mean) / std
            for subnet in backbone.in_turn(features):
                features[subnet].append(backbone.image_features(crops, subnet).float())
    joined = {subnet: torch.cat(rows) for subnet, rows in features.items()}
    return {subnet: 100 * linear_cka(rows, joined[backbone.space.intact]) for subnet, rows in joined.items()}


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Linear centred kernel alignment of features (N, D1) and (N, D2), from 0 to 1."""
    x, y = (z.double() - z.double().mean(0) for z in (x, y))
    norms = (x.T @ x).norm() * (y.T @ y).norm()
    return float((x.T @ y).norm() ** 2 / norms)

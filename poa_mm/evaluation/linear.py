"""Linear classifiers on frozen features: a whole grid of settings trained at once (POA, sec. 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from mmengine.dist import all_reduce
from torch import Tensor

from poa_mm.elastic import Subnet
from poa_mm.models.backbones import ElasticBackbone

from .knn import check_finite

# The paper's 13 learning rates, for a total batch of 256.
LEARNING_RATES = tuple(digit * 10.0**power for power in range(-5, -1) for digit in (1, 2, 5)) + (0.1,)


def probe_features(backbone: ElasticBackbone, images: Tensor, subnet: Subnet | str | None = None) -> Tensor:
    """Everything that a linear classifier may see: features of all levels, then the mean patch, (N, F)."""
    levels, patch = backbone.level_features(images, subnet)
    return torch.cat([level.float() for level in levels] + ([] if patch is None else [patch.float()]), dim=1)


@torch.no_grad()
def feature_kinds(backbone: ElasticBackbone, crop: int, subnet: Subnet | str | None = None) -> dict[str, slice]:
    """Columns of :func:`probe_features` that each kind of classifier sees.

    The last level or all of them, with or without the mean patch. Where the image feature is the mean patch,
    there is nothing to add.
    """
    device = next(backbone.parameters()).device
    levels, patch = backbone.level_features(torch.zeros(1, 3, crop, crop, device=device), subnet)
    last, total = levels[-1].shape[1], sum(level.shape[1] for level in levels)
    kinds = {'last': slice(total - last, total), 'all': slice(0, total)}
    if patch is not None:
        end = total + patch.shape[1]
        kinds.update({'last + mean patch': slice(total - last, end), 'all + mean patch': slice(0, end)})
    return kinds


class LinearGrid:
    """Softmax classifiers of several feature kinds and learning rates, each trained on its own.

    SGD with momentum, no weight decay. Those of one kind are one matrix, so that a step costs two products a
    kind. Processes share the batch; all hold the same classifiers.

    Args:
        kinds: Columns of the features by name.
        learning_rates: Of the first step.
        classes: Number of classes.
        seed: Of the initial weights, normal with deviation 0.01.
        device: Where the features are.
        momentum: Of SGD.

    Attributes:
        weights: By kind, (R, C, F) for R learning rates.
        biases: By kind, (R, C).
    """

    def __init__(
        self,
        kinds: Mapping[str, slice],
        learning_rates: Sequence[float],
        classes: int,
        seed: int = 0,
        device: torch.device | str = 'cpu',
        momentum: float = 0.9,
    ) -> None:
        self.kinds, self.momentum = dict(kinds), momentum
        self.learning_rates = torch.tensor(learning_rates, dtype=torch.float32, device=device)
        rng = torch.Generator().manual_seed(seed)
        self.weights, self.biases, self.velocity = {}, {}, {}
        for kind, columns in self.kinds.items():
            shape = (len(learning_rates), classes, columns.stop - columns.start)
            self.weights[kind] = (0.01 * torch.randn(shape, generator=rng)).to(device)
            self.biases[kind] = torch.zeros(shape[:2], device=device)
            self.velocity[kind] = [torch.zeros_like(p) for p in (self.weights[kind], self.biases[kind])]

    def logits(self, kind: str, features: Tensor) -> Tensor:
        """(N, R, C) of all classifiers of a kind for features (N, F) of all kinds."""
        flat = features[:, self.kinds[kind]] @ self.weights[kind].flatten(0, 1).T
        return flat.unflatten(1, self.biases[kind].shape) + self.biases[kind]

    def step(self, features: Tensor, labels: Tensor, batch: int, factor: float = 1.0) -> None:
        """One step of SGD on the cross-entropy.

        Args:
            features: Of this process's images, (N, F) in fp32; N may be 0.
            labels: Their classes (N,).
            batch: Images of all processes; the loss is the sum over images divided by it.
            factor: Of the learning rates, at this step.
        """
        for kind, columns in self.kinds.items():
            error = self.logits(kind, features).softmax(-1)  # becomes the loss's derivative by the logits
            error.scatter_add_(2, labels.view(-1, 1, 1).expand(-1, error.shape[1], 1), -torch.ones_like(error[..., :1]))
            error /= batch
            grads = [(error.flatten(1).T @ features[:, columns]).view_as(self.weights[kind]), error.sum(0)]
            for parameter, velocity, grad in zip(
                (self.weights[kind], self.biases[kind]), self.velocity[kind], grads, strict=True
            ):
                all_reduce(grad, 'sum')
                velocity.mul_(self.momentum).add_(grad)
                rates = factor * self.learning_rates.view(-1, *[1] * (grad.ndim - 1))
                parameter.addcmul_(velocity, rates, value=-1)

    def correct(self, features: Tensor, labels: Tensor) -> Tensor:
        """How many images each classifier gets right, (kinds, R)."""
        return torch.stack([(self.logits(kind, features).argmax(-1) == labels[:, None]).sum(0) for kind in self.kinds])

    def state_dict(self) -> dict[str, dict]:
        """What :meth:`load_state_dict` takes."""
        return dict(weights=self.weights, biases=self.biases, velocity=self.velocity)

    def load_state_dict(self, state: Mapping[str, dict]) -> None:
        """Go on where another grid of the same settings was."""
        for kind in self.kinds:
            self.weights[kind].copy_(state['weights'][kind])
            self.biases[kind].copy_(state['biases'][kind])
            for mine, saved in zip(self.velocity[kind], state['velocity'][kind], strict=True):
                mine.copy_(saved)

    def classifier(self, kind: str, rate: int) -> dict:
        """One classifier: ``weight`` (C, F), ``bias`` (C,) and the ``columns`` of the features that it sees."""
        columns = self.kinds[kind]
        weight, bias = (p[kind][rate].clone().cpu() for p in (self.weights, self.biases))
        return dict(weight=weight, bias=bias, columns=[columns.start, columns.stop])


def cosine_factor(step: int, steps: int) -> float:
    """From 1 at the first step to 0 after the last."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def check_features(features: Mapping[str, Tensor]) -> None:
    """Refuse broken features.

    Raises:
        UserError: If one is NaN or infinite.
    """
    for name, rows in features.items():
        check_finite(rows, name)

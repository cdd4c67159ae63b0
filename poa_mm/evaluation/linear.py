"""Linear classifiers on frozen features: a whole grid of settings trained at once (POA, sec. 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from torch import Tensor, nn

from poa_mm.elastic import Subnet
from poa_mm.models.backbones import ElasticBackbone

from .knn import check_finite

# The paper's 13 learning rates, for a total batch of 256.
LEARNING_RATES = tuple(digit * 10.0**power for power in range(-5, -1) for digit in (1, 2, 5)) + (0.1,)
MOMENTUM = 0.9


def probe_features(backbone: ElasticBackbone, images: Tensor, subnet: Subnet | str | None = None) -> Tensor:
    """All features that a linear classifier may use: those of all levels, then the mean patch, (N, F)."""
    levels, patch = backbone.level_features(images, subnet)
    return torch.cat([level.float() for level in levels] + ([] if patch is None else [patch.float()]), dim=1)


@torch.no_grad()
def feature_kinds(backbone: ElasticBackbone, crop: int, subnet: Subnet | str | None = None) -> dict[str, slice]:
    """Columns of :func:`probe_features` that each kind of classifier uses.

    The last level or all levels, with or without the mean patch; without it only where the image feature already is
    the mean patch.
    """
    device = next(backbone.parameters()).device
    levels, patch = backbone.level_features(torch.zeros(1, 3, crop, crop, device=device), subnet)
    last, total = levels[-1].shape[1], sum(level.shape[1] for level in levels)
    kinds = {'last': slice(total - last, total), 'all': slice(0, total)}
    if patch is not None:
        end = total + patch.shape[1]
        kinds.update({'last + mean patch': slice(total - last, end), 'all + mean patch': slice(0, end)})
    return kinds


class LinearGrid(nn.Module):
    """Softmax classifiers for several feature kinds and learning rates, each trained on its own.

    The R classifiers of one kind are one linear layer with R x C outputs, so that a step costs two products per kind.

    Args:
        kinds: Columns of the features by name.
        learning_rates: Of each classifier (R), at the first step.
        classes: Number of classes C.
        seed: Of the initial weights, normal with deviation 0.01.
    """

    def __init__(
        self, kinds: Mapping[str, slice], learning_rates: Sequence[float], classes: int, seed: int = 0
    ) -> None:
        super().__init__()
        self.kinds, self.classes = dict(kinds), classes
        self.register_buffer('learning_rates', torch.tensor(learning_rates, dtype=torch.float32), persistent=False)
        rng = torch.Generator().manual_seed(seed)
        outputs = len(learning_rates) * classes
        self.layers = nn.ModuleDict()
        for kind, columns in self.kinds.items():
            layer = nn.utils.skip_init(nn.Linear, columns.stop - columns.start, outputs)
            nn.init.normal_(layer.weight, std=0.01, generator=rng)
            nn.init.zeros_(layer.bias)
            self.layers[kind] = layer

    def forward(self, features: Tensor, kind: str) -> Tensor:
        """Logits (N, R, C) of all classifiers of a kind for features (N, F) of all kinds."""
        return self.layers[kind](features[:, self.kinds[kind]]).unflatten(1, (-1, self.classes))

    def loss(self, features: Tensor, labels: Tensor, batch: int) -> Tensor:
        """Cross-entropy of all classifiers, each times its learning rate.

        With SGD at learning rate 1, this factor is the learning rate of the classifier, since no weight has two.

        Args:
            features: Of this process's images, (N, F) in fp32; N may be 0.
            labels: Their classes (N,).
            batch: Images of all processes; the loss is the sum over images divided by it.
        """
        rates, total = len(self.learning_rates), features.new_zeros(())
        wanted = labels.repeat_interleave(rates)
        for kind in self.kinds:
            logits = self(features, kind)
            losses = F.cross_entropy(logits.flatten(0, 1), wanted, reduction='none')  # N x R
            total = total + (losses.view(-1, rates).sum(0) / batch) @ self.learning_rates
        return total

    @torch.no_grad()
    def correct(self, features: Tensor, labels: Tensor) -> Tensor:
        """Number of images that each classifier gets right, (kinds, R)."""
        return torch.stack([(self(features, kind).argmax(-1) == labels[:, None]).sum(0) for kind in self.kinds])

    def classifier(self, kind: str, rate: int) -> dict:
        """One classifier: ``weight`` (C, F), ``bias`` (C,) and the ``columns`` of the features that it sees."""
        layer, columns = self.layers[kind], self.kinds[kind]
        weight, bias = (p.detach().unflatten(0, (-1, self.classes))[rate].clone().cpu() for p in layer.parameters())
        return dict(weight=weight, bias=bias, columns=[columns.start, columns.stop])


class GridTrainer:
    """Trains the grids of several networks: SGD with momentum, no weight decay, cosine schedule to 0.

    Processes share the batch; all hold the same classifiers.

    Args:
        grids: By name of the network.
        steps: Length of the training.
        batch: Images of one step, over all processes.
    """

    def __init__(self, grids: Mapping[str, LinearGrid], steps: int, batch: int) -> None:
        self.grids, self.batch = grids, batch
        self.parameters = [parameter for grid in grids.values() for parameter in grid.parameters()]
        self.optimizer = torch.optim.SGD(self.parameters, lr=1.0, momentum=MOMENTUM)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, steps)

    def step(self, features: Mapping[str, Tensor], labels: Tensor) -> None:
        """One step on features (N, F) of every network and the classes (N,) of this process's images."""
        self.optimizer.zero_grad()
        for name, grid in self.grids.items():
            grid.loss(features[name], labels, self.batch).backward()
        for parameter in self.parameters:
            all_reduce(parameter.grad, 'sum')
        self.optimizer.step()
        self.scheduler.step()

    def state_dict(self) -> dict[str, dict]:
        """What :meth:`load_state_dict` takes."""
        grids = {name: grid.state_dict() for name, grid in self.grids.items()}
        return dict(grids=grids, optimizer=self.optimizer.state_dict(), scheduler=self.scheduler.state_dict())

    def load_state_dict(self, state: Mapping[str, dict]) -> None:
        """Continue from the state of a trainer with the same settings."""
        for name, grid in self.grids.items():
            grid.load_state_dict(state['grids'][name])
        self.optimizer.load_state_dict(state['optimizer'])
        self.scheduler.load_state_dict(state['scheduler'])


def check_features(features: Mapping[str, Tensor]) -> None:
    """Check the features of all networks.

    Raises:
        UserError: If one is NaN or infinite.
    """
    for name, rows in features.items():
        check_finite(rows, name)

"""Statistics of targets and features that show a collapse early, and a warning."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from poa_mm.models.losses.sinkhorn import Centering, SinkhornKnopp
from poa_mm.models.losses.statistics import entropy_share, nearest_cosine, rank, used_share
from poa_mm.models.poa import POA
from poa_mm.models.wrapping import unwrapped
from poa_mm.registry import HOOKS

from .common import log_interval

EQUAL = 0.99  # cosine from which two images count as equal
LOOKS = 3  # in a row that make a collapse
LOST = 0.25  # share of the information that the targets once had
NO_INFORMATION = 0.003  # targets with more are not called uniform, whatever they had
GAINED = 2.0  # times the information at the first step: the run is past its warm-up
MEASURE = 'first_and_lowest_entropy'  # in the message hub
ADVICE = {
    'prototypes': (
        'freeze the prototypes for longer (default_hooks.freeze_last_layer.steps) and keep the teacher temperature low '
        '(model.schedule.temp_final)'
    ),
    'features': (
        'keep KoLeo, which drives the features of different images apart (model.loss_weights.koleo=0.1), or warm the '
        'learning rate up for longer'
    ),
}


@HOOKS.register_module()
class CollapseHook(Hook):
    """Logs what shows a collapse of :class:`POA`, and warns of it once.

    Every ``interval`` steps, of the first process's first micro-batch and the teacher:

    - ``target_entropy``: mean entropy of the targets of global crops as a share of ``ln K``, mean over heads; 1 if all
      targets are uniform;
    - ``prototypes_used``: prototypes that are the most probable one of a crop, as a share of those that could be, mean
      over heads;
    - ``equal_neighbours``: share of images whose nearest neighbour in the batch is equal to them (cosine above 0.99);
    - ``feature_rank``: RankMe of the features of the latest looks.

    They stay on the device until the logger prints. Gradient norms are logged by :class:`LazyRuntimeInfoHook`.

    Args:
        interval: Steps between two looks.
        looks: Looks whose features are taken together for the rank.
    """

    # Before the logger.
    priority = 'NORMAL'

    def __init__(self, interval: int = 10, looks: int = 4) -> None:
        self.interval = interval
        self.features: deque[Tensor] = deque(maxlen=looks)

    def before_train(self, runner: Runner) -> None:
        """Listen to the teacher."""
        model = unwrapped(runner.model)
        self.looking = self.warned = False
        self.rows: list[dict[str, Tensor]] = []
        self.handles = []
        if not isinstance(model, POA):
            return
        self.log_interval = log_interval(runner)
        self.handles = [model.teacher.backbone.register_forward_hook(self._see_features)]
        if isinstance(model.target, SinkhornKnopp | Centering):
            self.handles.append(model.target.register_forward_hook(self._see_targets))

    def after_train(self, runner: Runner) -> None:
        """Stop listening."""
        for handle in self.handles:
            handle.remove()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Look at the first step, which is the measure of the others, and at every ``interval``-th."""
        self.looking = bool(self.handles) and (runner.iter == 0 or (runner.iter + 1) % self.interval == 0)
        if self.looking:
            self.rows.append({})

    @torch.no_grad()
    def _see_features(self, module: nn.Module, arguments: Any, output: Any) -> None:
        if self.looking and 'equal_neighbours' not in self.rows[-1]:
            ((features, _),) = output
            self.features.append(features.detach())
            nearest = nearest_cosine(features[: len(features) // 2])  # the first crops: one of each image
            self.rows[-1]['equal_neighbours'] = (nearest > EQUAL).float().mean()

    @torch.no_grad()
    def _see_targets(self, module: nn.Module, arguments: Any, targets: dict[str, list[Tensor]]) -> None:
        if self.looking and 'target_entropy' not in self.rows[-1]:
            images = targets['image']
            self.rows[-1]['target_entropy'] = torch.stack([entropy_share(t) for t in images]).mean()
            self.rows[-1]['prototypes_used'] = torch.stack([used_share(t) for t in images]).mean()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Hand the values over if the logger is going to print."""
        rows = [row for row in self.rows if row]
        if not rows or not (self.every_n_train_iters(runner, self.log_interval) or self.is_last_train_iter(runner)):
            return
        self.rows, self.looking = [], False
        values = iter(torch.stack([value for row in rows for value in row.values()]).tolist())
        hub = runner.message_hub
        for row in rows:
            for name in row:
                hub.update_scalar(f'train/{name}', next(values))
        hub.update_scalar('train/feature_rank', float(rank(torch.cat(list(self.features)))))
        if not self.warned and 'train/target_entropy' in hub.log_scalars:
            entropy, equal = (
                hub.get_scalar(f'train/{name}').data[0].tolist() for name in ('target_entropy', 'equal_neighbours')
            )
            # The hub forgets the first looks of a long run.
            first, lowest = hub.runtime_info.get(MEASURE, [entropy[0], entropy[0]])
            hub.update_info(MEASURE, [first, min(lowest, *entropy)])
            if kind := collapsed(entropy, equal, hub.runtime_info[MEASURE]):
                self.warned = True
                runner.logger.warning(
                    f"the {kind} have collapsed at step {runner.iter + 1}: the entropy of the teacher's targets is "
                    f'{entropy[-1]:.4f} of its maximum (at first {first:.4f}), and {equal[-1]:.0%} of the images '
                    f'have a neighbour with equal features: {ADVICE[kind]}'
                )


def collapsed(entropy: Sequence[float], equal: Sequence[float], earlier: Sequence[float] = ()) -> str | None:
    """Whether the latest looks are those of a collapsed run.

    The information of targets is 1 - their entropy as a share of the largest possible. It is compared with what it was,
    because it is small at the start of healthy runs too; so are the differences of features.

    Args:
        entropy: ``target_entropy`` of all looks.
        equal: ``equal_neighbours`` of all looks.
        earlier: ``target_entropy`` of the first look and the lowest there was, where ``entropy`` may lack them.

    Returns:
        ``'prototypes'``: targets have become uniform while features differ. ``'features'``: the features of most images
        are equal, and either targets have become uniform too, or they are learned in spite of it. ``None``: neither.
    """
    if len(entropy) <= LOOKS:
        return None
    information = [1 - value for value in (*earlier, *entropy)]
    latest = information[-LOOKS:]
    uniform = max(latest) < min(LOST * max(information), NO_INFORMATION)
    learned = min(latest) > GAINED * information[0]
    if min(equal[-LOOKS:]) > 0.5 and (uniform or learned):
        return 'features'
    return 'prototypes' if uniform else None

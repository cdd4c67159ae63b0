"""What a pre-training recipe needs on given GPUs, and which switch makes it fit."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property

from mmengine.config import Config

from poa_mm.elastic import Subnet, SubnetSampler
from poa_mm.models.distiller import Distiller
from poa_mm.models.draws import ElasticDraws
from poa_mm.models.poa import POA
from poa_mm.registry import MODELS

from .fully_sharded import is_divided, parts_of
from .memory import StepMemory, check_pretraining, count_step, fake_tensors, typical_subnet
from .optim_wrapper import count_micro_batches

GB = 10**9
# Besides live tensors: context, libraries, and what the allocator reserves but does not use. Assumed, not measured.
CONTEXT, RESERVED = 2 * GB, 0.05

# Operations a second of one A100 in training: those of configs/poa_vitl.py over the 2752 GPU-hours that the paper
# states (POA, table 20). A quarter of its peak.
A100_RATE = 70.6e12

DIVIDED = "model_wrapper_cfg=dict(_delete_=True, type='FullyShardedPOA')"


@dataclass(frozen=True)
class Gathered:
    """What a GPU has of a :class:`FullyShardedPOA` besides its share, in bytes.

    Args:
        whole: Parameters that are whole from the intact student's pass to its backward pass.
        largest: The largest part that is gathered, or whose gradients are reduced, at a time.
    """

    whole: int
    largest: int


@dataclass(frozen=True)
class Plan:
    """A recipe with some switches.

    Args:
        switches: What is set other than in the recipe, as ``--cfg-options`` takes it.
        batch_size: Images of one micro-batch on one GPU.
        micro_batches: Of one optimizer step.
        step: What a micro-batch takes.
        gpus: Number of GPUs.
        gathered: What is gathered, if the model is divided among the GPUs.
    """

    switches: tuple[str, ...]
    batch_size: int
    micro_batches: int
    step: StepMemory
    gpus: int
    gathered: Gathered | None

    @property
    def parts(self) -> dict[str, int]:
        """Bytes on one GPU by what they are for; their sum is the need."""
        step, gathered = self.step, self.gathered
        owners = 1 if gathered is None else self.gpus
        live = {
            'student': step.student // owners,
            'teacher': step.teacher // owners,
            'optimizer': step.optimizer // owners,
            # Otherwise they are among the live tensors of the peak.
            'gradients kept': step.gradients if self.micro_batches > 1 else 0,
        }
        if gathered is None:
            live['gradients to send'] = step.gradients if self.gpus > 1 else 0
        else:
            live['gradients, share'] = step.gradients // owners
            # A message is sent while the next is made.
            live |= {'gathered': gathered.whole, 'messages': 2 * gathered.largest}
        live |= {'activations': step.activations, 'backward pass': step.peak - step.activations}
        return {**live, 'context, reserve': CONTEXT + round(RESERVED * sum(live.values()))}

    @property
    def need(self) -> int:
        """Bytes on one GPU."""
        return sum(self.parts.values())

    @property
    def flops(self) -> int:
        """Operations of an optimizer step on one GPU."""
        return self.micro_batches * self.step.flops


class Planner:
    """Makes plans for a recipe; each step is counted once.

    Args:
        cfg: A config of POA, SEED or a recovery.
        gpus: Number of GPUs.

    Raises:
        UserError: The config is not one of these.
    """

    def __init__(self, cfg: Config, gpus: int) -> None:
        self.can_be_divided = issubclass(check_pretraining(cfg), POA) and gpus > 1
        self.cfg, self.gpus = cfg, gpus
        self.batch_size: int = cfg.optim_wrapper.batch_size
        self.divided = is_divided(cfg) and self.can_be_divided
        self._counted: dict[tuple, StepMemory] = {}

    def recipe(self) -> Plan:
        """The recipe as it is.

        Raises:
            UserError: The total batch cannot be divided among the GPUs.
        """
        return self._plan(self.batch_size)

    def run_flops(self) -> float:
        """Operations of the whole run, with the sub-network of typical cost as every elastic student that is drawn.

        In each stage of the sampler it is that of the stage.
        """
        model, steps, images = self._model(), self.cfg.train_cfg.max_iters, min(8, self.batch_size)
        sampler = getattr(model, 'sampler', None)  # a distillation has none
        stages = [*sampler.stages, (steps, sampler)] if sampler else [(steps, None)]
        flops = begin = 0
        for end, sampler in stages:
            subnets = sampler and typical_students(model.draws, sampler)
            flops += (min(end, steps) - begin) * count_step(self.cfg, images, subnet=subnets).flops
            begin = min(end, steps)
        return flops / images * self.cfg.optim_wrapper.total_batch

    def smaller(self, memory: int) -> list[Plan]:
        """What lowers the need: a model divided among the GPUs, recomputation, and the largest batches that fit.

        Between batches that were counted, the need is taken to grow linearly; the batch that follows is counted again.

        Args:
            memory: Bytes of one GPU.
        """
        found = [self._plan(self.batch_size, divided=True)] if self.can_be_divided and not self.divided else []
        if self.cfg.model.backbone.get('with_cp', False):
            return [*found, *self._largest(memory, with_cp=False)]
        found.append(self._plan(self.batch_size, with_cp=True))
        found += self._largest(memory, with_cp=False)
        if found[-1].need > memory or found[-1].micro_batches > 4 * self.recipe().micro_batches:
            found += self._largest(memory, with_cp=True)
        return found

    def _largest(self, memory: int, with_cp: bool) -> list[Plan]:
        share = self.cfg.optim_wrapper.total_batch // self.gpus
        sizes = [size for size in range(self.batch_size, 1, -1) if share % size == 0]
        if len(sizes) < 2:
            return []
        high, low = (self._plan(size, with_cp) for size in (sizes[0], sizes[-1]))
        slope = (high.need - low.need) / (high.batch_size - low.batch_size)
        likely = [size for size in sizes[1:] if low.need + slope * (size - low.batch_size) <= memory]
        plans = (self._plan(size, with_cp) for size in likely)
        return [plan for plan in plans if plan.need <= memory][:1]

    @cached_property
    def _gathered(self) -> Gathered:
        return count_gathered(self._model())

    def _model(self) -> POA | Distiller:
        with fake_tensors(self.cfg):
            return MODELS.build(self.cfg.model.to_dict())

    def _plan(self, batch_size: int, with_cp: bool = False, divided: bool = False) -> Plan:
        wrapper = self.cfg.optim_wrapper
        switches = [f'batch_size={batch_size}'] if batch_size != self.batch_size else []
        switches += ['model.backbone.with_cp=True'] if with_cp else []
        switches += [DIVIDED] if divided else []
        micro_batches = count_micro_batches(wrapper.total_batch, batch_size, self.gpus)
        key = batch_size, with_cp, micro_batches > 1
        if key not in self._counted:
            cfg = deepcopy(self.cfg)
            cfg.model.backbone.with_cp = with_cp or cfg.model.backbone.get('with_cp', False)
            self._counted[key] = count_step(cfg, batch_size, accumulates=micro_batches > 1)
        gathered = self._gathered if divided or self.divided else None
        return Plan(tuple(switches), batch_size, micro_batches, self._counted[key], self.gpus, gathered)


def typical_students(draws: ElasticDraws, sampler: SubnetSampler) -> list[Subnet]:
    """The elastic students of a step if the sampler draws what is typical of it."""
    typical = typical_subnet(sampler)
    return draws.subnets(lambda step, rank, seed: typical, 0, 0, 0)


def count_gathered(model: POA) -> Gathered:
    """What a GPU gathers of a model that is divided."""
    seen, sizes = set(), []
    for part, frees in parts_of(model):
        new = [parameter for parameter in part.parameters() if parameter not in seen]
        seen.update(new)
        sizes.append((sum(parameter.nbytes for parameter in new), frees))
    return Gathered(sum(size for size, frees in sizes if not frees), max(size for size, _ in sizes))


def cost(plan: Plan, recipe: Plan) -> str:
    """What the switches of a plan cost, against the recipe as it is."""
    parts = []
    if plan.flops > 1.01 * recipe.flops:
        parts.append(f'{plan.flops / recipe.flops - 1:.0%} more operations')
    if plan.micro_batches > recipe.micro_batches:
        images = plan.batch_size * plan.gpus
        parts.append(
            f'{plan.micro_batches} micro-batches, targets balanced over {images} images in place of '
            f'{recipe.batch_size * recipe.gpus}'
        )
    if plan.gathered and not recipe.gathered:
        # Its parameters are gathered where others send the second half of their all-reduce.
        parts.append(f'the teacher is gathered too, {plan.micro_batches} x {plan.step.teacher / GB:.1f} GB a step')
    return '; '.join(parts) or 'none'

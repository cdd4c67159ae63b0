"""POA: three branches, one step (POA, sec. 3)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import torch
from mmengine.logging import print_log
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from torch import Tensor

from poa_mm.elastic import Subnet, SubnetSampler
from poa_mm.errors import UserError
from poa_mm.registry import MODELS

from .cheap_start import CheapStart
from .compiling import compile_backbone, missing_compiler
from .draws import ElasticDraws
from .losses import Embeddings, coding_rate, embedding, koleo, prototype
from .losses.fused import fusing
from .schedule import PretrainSchedule
from .step_checks import LOSS_WEIGHTS, check_branches, check_crops, check_heads
from .teacher import Teacher


class Outputs(NamedTuple):
    """A student's outputs for one batch. Lists hold the logits of each head, or its embeddings."""

    features: Tensor  # (2B, D), the backbone's image features of the global crops
    global_crops: list[Tensor]  # (2B, K)
    local_crops: list[Tensor]  # (vB, K)
    patches: list[Tensor]  # (M, K), masked patches; empty while the masked-patch loss is off


class Targets(NamedTuple):
    """A teacher's targets for one batch. Lists hold the distributions of each head."""

    global_crops: list[Tensor]  # (2B, K)
    patches: list[Tensor]  # (M, K)


@MODELS.register_module()
class POA(BaseSelfSupervisor):
    """Pre-training of all sub-networks at once by self-distillation.

    The *teacher* is an average of the student over time and always runs the intact network. The *intact* and the
    *elastic* student share all parameters; the elastic one runs through the sub-network drawn for the step.
    Weights of the loss (POA, eq. 12 and 13, as in the authors' program)::

        mean over heads of  w (G_1 + C_1 + P_1) + (1 - w) (G_2 + C_2 + P_2) + (1 - w) S
        + 0.1 * (K_1 + K_2) / 2

    Variants of POA's table 5: V1 is ``students=('elastic',), teachers=('elastic',)``, V2
    ``students=('elastic',), teachers=('intact',)``, both with ``intact_weight=0``; V3 is
    ``teachers=('intact', 'elastic')``. A single-size run is ``students=('intact',), intact_weight=1``.

    Args:
        backbone: Config of an elastic backbone.
        head: Config of the prototype heads; ``embed_dims`` defaults to the backbone's.
        patch_head: Config of separate heads for masked patches; ``None``: they share ``head``.
        sampler: Arguments of :class:`SubnetSampler`.
        draws: Arguments of :class:`ElasticDraws`: how many elastic students learn in a step, and their weights.
        target: Config of the module that makes targets from teacher logits; ``Embeddings`` with an ``EmbeddingHead``.
        students: Which students learn.
        teachers: Which networks the teacher runs.
        intact_weight: Weight ``w`` (lambda) of the intact student.
        student_temp: Student temperature.
        loss_weights: Factors of the parts. ``cross_view`` is that of the elastic student's terms
            ``G_2 + C_2 + P_2``, ``same_view`` that of ``S``, ``patch`` that of ``P_1`` and ``P_2``, ``koleo``
            that of the mean of ``K_1`` and ``K_2``. ``coding_rate`` (0: not computed) is that of the mean over the
            students of :func:`coding_rate` of the first head's outputs for the global crops, which is maximised.
        schedule: Arguments of :class:`PretrainSchedule`.
        cheap_start: Arguments of :class:`CheapStart`: smaller and fewer crops at first; ``None``: not at all.
        compile_blocks: Whether ``torch.compile`` is applied to the blocks of student and teacher, to targets and to
            losses; ``None``: on a GPU, where a compiler is found.
        data_preprocessor: Config of the preprocessor.
        init_cfg: Initialisation config of MMEngine.

    Raises:
        UserError: If branches, weights and ``intact_weight`` do not fit together, or a head does not fit the backbone.
    """

    # For the check of configs.
    nested_arguments = dict(
        schedule=PretrainSchedule, sampler=SubnetSampler, draws=ElasticDraws, cheap_start=CheapStart
    )

    def __init__(
        self,
        backbone: dict,
        head: dict,
        patch_head: dict | None = None,
        sampler: dict | None = None,
        draws: dict | None = None,
        target: dict = dict(type='SinkhornKnopp'),
        students: Sequence[str] = ('intact', 'elastic'),
        teachers: Sequence[str] = ('intact',),
        intact_weight: float = 0.8,
        student_temp: float = 0.1,
        loss_weights: Mapping[str, float] = LOSS_WEIGHTS,
        schedule: dict | None = None,
        cheap_start: dict | None = None,
        compile_blocks: bool | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        check_branches(students, teachers, intact_weight, loss_weights)
        backbone = MODELS.build(backbone)
        head, patch_head = (
            MODELS.build({'embed_dims': backbone.feature_dims(), **cfg}) if cfg else None for cfg in (head, patch_head)
        )
        target = MODELS.build(target)
        check_heads(head, patch_head, target, backbone.feature_dims())
        super().__init__(
            backbone=backbone,
            head=head,
            data_preprocessor=MODELS.build(data_preprocessor or dict(type='MultiCropPreprocessor')),
            init_cfg=init_cfg,
        )
        self.patch_head = patch_head
        self.teacher = Teacher(backbone, head, patch_head)
        self.compile_blocks, self.compiled_for, self.compiled = compile_blocks, None, False
        self.target = target
        self.students, self.teachers = tuple(students), tuple(teachers)
        self.sampler = SubnetSampler(backbone.space, **(sampler or {})) if 'elastic' in students else None
        self.draws = ElasticDraws(self.sampler, **(draws or {})) if self.sampler else None
        if self.draws and self.draws.number > 1 and 'elastic' in teachers:
            raise UserError('an elastic teacher goes with one elastic student a step (draws.number=1)')
        self.intact_weight, self.student_temp = intact_weight, student_temp
        self.loss_weights = {**LOSS_WEIGHTS, **loss_weights}
        self.schedule = PretrainSchedule(**(schedule or {}))
        self.cheap_start = CheapStart(**cheap_start) if cheap_start else None
        if self.cheap_start and self.cheap_start.global_size and self.schedule.patch_loss(self.cheap_start.steps - 1):
            raise UserError(
                f'masks do not fit the smaller global crops of cheap_start: schedule.patch_loss_start must be at least '
                f'{self.cheap_start.steps}, got {self.schedule.patch_loss_start}'
            )

    def init_weights(self) -> None:
        """Initialises the student; the teacher starts as its copy."""
        super().init_weights()
        self.teacher.load_state_dict(
            {
                f'{part}.{name}': value
                for part in ('backbone', 'head', 'patch_head')
                if getattr(self, part) is not None
                for name, value in getattr(self, part).state_dict().items()
            }
        )

    @property
    def parts(self) -> ModuleType:
        """The functions of the loss."""
        return embedding if isinstance(self.target, Embeddings) else prototype

    def compile_for(self, device: torch.device) -> None:
        """Compiles blocks, targets and losses if ``compile_blocks`` asks for it here; the first step calls it.

        Raises:
            UserError: If ``compile_blocks`` is true and a compiler is missing.
        """
        self.compiled_for = device
        if self.compile_blocks is False or (self.compile_blocks is None and device.type == 'cpu'):
            return
        if lacks := missing_compiler(device):
            if self.compile_blocks:
                raise UserError(f'compile_blocks=True needs a compiler, but {lacks}')
            print_log(f'The blocks are not compiled, which makes a step slower: {lacks}', 'current', logging.WARNING)
            return
        compile_backbone(self.backbone)
        compile_backbone(self.teacher.backbone)
        self.compiled = True

    def loss(self, inputs: dict[str, Any], data_samples: None = None) -> dict[str, Tensor]:
        """Losses of a batch, with the sub-network, teacher temperature and losses of its step.

        Args:
            inputs: Tensors of ``multi_crop_collate``, and from ``StepTrainLoop`` the number of the optimizer ``step``,
                the ``rank`` of the micro-batch in it and the ``seed`` of the run.
            data_samples: Not used.

        Returns:
            What :meth:`compute_losses` returns, everything but ``loss`` detached, and ``teacher_temp``. MMEngine logs
            the mean over heads.

        Raises:
            UserError: If the inputs lack the step.
        """
        batch = dict(inputs)
        if 'step' not in batch:
            raise UserError("POA's inputs have no step: train with train_cfg = dict(type='StepTrainLoop', ...)")
        step, rank, seed = (batch.pop(name) for name in ('step', 'rank', 'seed'))
        subnet = self.draws.subnets(self.sampler, step, rank, seed) if self.sampler else None
        batch = self.cheap_start(batch, step) if self.cheap_start else batch
        temp = self.schedule.teacher_temp(step)
        losses = self.compute_losses(
            **batch, subnet=subnet, teacher_temp=temp, patch_loss=self.schedule.patch_loss(step)
        )
        log = {name: value if name == 'loss' else value.detach() for name, value in losses.items()}
        return {**log, 'teacher_temp': losses['loss'].new_full((), temp)}

    def compute_losses(
        self,
        global_crops: Tensor,
        local_crops: Tensor,
        masks: Tensor | None = None,
        *,
        subnet: Subnet | str | Sequence[Subnet] | None = None,
        teacher_temp: float,
        patch_loss: bool = True,
        mask_indices: Tensor | None = None,
        mask_weights: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """All components of the loss and their weighted total (POA, eq. 5 to 13).

        Without drop path it is deterministic.

        Args:
            global_crops: Two global crops of every image, ``(2B, 3, H, W)``, crop by crop.
            local_crops: ``v`` local crops of every image, ``(vB, 3, h, w)``, crop by crop.
            masks: Masked patches of the global crops, ``(2B, P)`` bool.
            subnet: The sub-network of the elastic branches, or one for each elastic student; ``None`` is the intact
                network.
            teacher_temp: Teacher temperature.
            patch_loss: Whether the masked-patch loss is on; if not, students see unmasked crops.
            mask_indices: Where ``masks.flatten()`` is true, ``(M,)``; computed if not given (which makes the
                host wait for the device).
            mask_weights: One over the number of masked patches of each one's crop, ``(M,)``; computed if not given.

        Returns:
            ``loss``, the total. One value per head, ``(heads,)``: ``intact_global``, ``intact_local``,
            ``intact_patch``, the same for ``elastic`` (and ``distilled`` from an elastic teacher beside the intact
            one), ``same_view``. And ``intact_koleo``, ``elastic_koleo``. The second of several elastic students adds
            ``elastic2_global`` and so on. All but ``loss`` are unweighted.

        Raises:
            UserError: If the crops do not make up two global crops of at least two images each.
        """
        check_crops(global_crops, local_crops, masks, patch_loss)
        if self.compiled_for is None:
            self.compile_for(global_crops.device)
        elastic = self._elastic_subnets(subnet)
        subnets = {'intact': None, **elastic}
        if not patch_loss:
            masks = mask_indices = mask_weights = None
        elif mask_indices is None:
            mask_indices = masks.flatten().nonzero().squeeze(1)
        if patch_loss and mask_weights is None:
            mask_weights = masks.sum(1, keepdim=True).float().reciprocal().expand(masks.shape)
            mask_weights = mask_weights.flatten()[mask_indices]

        targets = {
            name: self._teacher_targets(global_crops, mask_indices, subnets[name], teacher_temp)
            for name in self.teachers
        }
        prototypes = self.head.prototypes()
        outputs = {
            name: self._student_outputs([global_crops, local_crops], masks, mask_indices, subnets[name], prototypes)
            for name in subnets
            if name in elastic or name in self.students
        }
        weights = dict(zip(elastic, self.draws.weights(list(elastic.values())))) if elastic else {}
        with torch.autocast(global_crops.device.type, enabled=False), fusing(self.compiled):
            losses = self._compare(outputs, targets, mask_weights, weights)
        if not patch_loss:  # DistributedDataParallel expects the same gradients in every step
            losses['loss'] = losses['loss'] + 0.0 * sum(parameter.sum() for parameter in self._patch_parameters())
        return losses

    def _patch_parameters(self) -> Iterator[Tensor]:
        """Parameters that only the masked-patch loss uses."""
        yield from map(self.backbone.get_parameter, self.backbone.pretrain_only)
        if self.patch_head is not None:
            yield from self.patch_head.parameters()

    def _elastic_subnets(self, given: Subnet | str | Sequence[Subnet] | None) -> dict[str, Subnet]:
        """The sub-network of every elastic student by its name: ``elastic``, ``elastic2``, ..."""
        if self.draws is None:
            return {}
        found = given if isinstance(given, (list, tuple)) else [given or 'intact'] * self.draws.number
        names = ['elastic', *(f'elastic{i}' for i in range(2, len(found) + 1))]
        return dict(zip(names, map(self.backbone.space.parse, found)))

    @torch.no_grad()
    def _teacher_targets(
        self, global_crops: Tensor, mask_indices: Tensor | None, subnet: Subnet | str | None, temp: float
    ) -> Targets:
        """Targets of the teacher run through one network; it sees the global crops unmasked."""
        ((features, patches),) = self.teacher.backbone([global_crops], subnet=subnet)
        head, patch_head = self.teacher.head, self.teacher.patch_head
        prototypes = head.prototypes()
        with fusing(self.compiled):
            logits = {'image': head(features, prototypes)}
            if mask_indices is not None:
                patches = take_patches(patches, mask_indices)
                logits['patch'] = patch_head(patches) if patch_head else head(patches, prototypes)
            targets = self.target(logits, temp)
        return Targets(targets['image'], targets.get('patch', []))

    def _student_outputs(
        self,
        crops: Sequence[Tensor],
        masks: Tensor | None,
        mask_indices: Tensor | None,
        subnet: Subnet | str | None,
        prototypes: Sequence[Tensor],
    ) -> Outputs:
        """Logits of one student for all crops, in one pass through the backbone and one through the heads."""
        (features, patches), (local_features, _) = self.backbone(crops, masks, subnet)
        tokens = [features, local_features]
        if mask_indices is not None:
            patches = take_patches(patches, mask_indices)
            if self.patch_head is None:
                tokens.append(patches)
        sizes = [len(t) for t in tokens]
        logits = [z.split(sizes) for z in self.head(torch.cat(tokens), prototypes)]
        patch_logits = [z[2] for z in logits] if len(tokens) == 3 else []
        if mask_indices is not None and self.patch_head is not None:
            patch_logits = self.patch_head(patches)
        return Outputs(features, [z[0] for z in logits], [z[1] for z in logits], patch_logits)

    def _compare(
        self,
        outputs: dict[str, Outputs],
        targets: dict[str, Targets],
        mask_weights: Tensor | None,
        elastic: dict[str, float],
    ) -> dict[str, Tensor]:
        """All components from what the branches gave, and their weighted total.

        Args:
            outputs: Of each student.
            targets: Of each network that the teacher ran.
            mask_weights: As for :meth:`compute_losses`.
            elastic: The weight of each elastic student among them.
        """
        weight = {'intact': self.intact_weight, **{name: (1 - self.intact_weight) * w for name, w in elastic.items()}}
        weight['distilled'] = 1 - self.intact_weight
        factor = dict.fromkeys(elastic, self.loss_weights['cross_view'])
        components, total = {}, 0.0
        for name, student, teacher in self._pairs(outputs):
            terms = self._cross_view(outputs[student], targets[teacher], mask_weights)
            for term, per_head in terms.items():
                patch_factor = self.loss_weights['patch'] if term == 'patch' else 1.0
                total = total + weight[name] * factor.get(name, 1.0) * patch_factor * per_head.mean()
                components[f'{name}_{term}'] = per_head
        for name in elastic if 'intact' in outputs else ():
            key = name.replace('elastic', 'same_view')
            components[key] = self._same_view(outputs['intact'], outputs[name])
            total = total + weight[name] * (self.loss_weights['same_view'] * components[key].mean())
        for name, student in outputs.items():
            crops = student.features.float().unflatten(0, (2, -1))
            components[f'{name}_koleo'] = koleo(crops[0]) + koleo(crops[1])
            students = len(self.students) * (1 if name == 'intact' else len(elastic))
            total = total + self.loss_weights['koleo'] * components[f'{name}_koleo'] / students
            if self.loss_weights['coding_rate']:
                rates = [coding_rate(crops) for crops in student.global_crops[0].chunk(2)]
                components[f'{name}_coding_rate'] = (rates[0] + rates[1]) / 2
                total = total - self.loss_weights['coding_rate'] * components[f'{name}_coding_rate'] / students
        components['loss'] = total
        return components

    def _pairs(self, students: Sequence[str]) -> list[tuple[str, str, str]]:
        """Who learns from whom across views: name of the terms, student, teacher."""
        pairs = [(student, student, self.teachers[0]) for student in students]
        if len(self.teachers) == 2:
            pairs.append(('distilled', 'elastic', 'elastic'))
        return pairs

    def _cross_view(self, student: Outputs, targets: Targets, mask_weights: Tensor | None) -> dict[str, Tensor]:
        """``G``, ``C`` and ``P`` of one student, each ``(heads,)`` (POA, eq. 5 to 7)."""
        temp, num_crops = self.student_temp, len(student.features)
        num_images = num_crops // 2
        num_terms = 2 + 2 * (len(student.local_crops[0]) // num_images)  # n_g + n_l
        across = [self.parts.cross_view_global(t, s, temp) for t, s in zip(targets.global_crops, student.global_crops)]
        local = [self.parts.cross_view_local(t, s, temp) for t, s in zip(targets.global_crops, student.local_crops)]
        terms = {'global': torch.stack(across) / num_terms, 'local': torch.stack(local) / num_terms}
        if mask_weights is not None:
            patch = [
                self.parts.masked_patch(t, s, mask_weights, num_crops, temp)
                for t, s in zip(targets.patches, student.patches)
            ]
            terms['patch'] = torch.stack(patch)
        return terms

    def _same_view(self, intact: Outputs, elastic: Outputs) -> Tensor:
        """``S``, ``(heads,)``: the elastic student against the intact one (POA, eq. 10 and 11)."""
        logits = zip(intact.global_crops, elastic.global_crops, intact.local_crops, elastic.local_crops)
        temp = self.student_temp
        compare = self.parts.same_view
        return torch.stack([compare(i_g, e_g, temp) + compare(i_l, e_l, temp) for i_g, e_g, i_l, e_l in logits])


def take_patches(patches: Tensor, indices: Tensor) -> Tensor:
    """Patch features ``(M, D)`` at flat indices into ``(N, P)``, from ``(N, P, D)``."""
    return patches.flatten(0, 1).index_select(0, indices)  # not [], whose gradient is slower

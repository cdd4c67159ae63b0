"""Checks of the arguments and the batches of POA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from poa_mm.errors import UserError

from .heads import EmbeddingHead
from .losses import Centering, Embeddings

LOSS_WEIGHTS = dict(cross_view=1.0, same_view=1.0, patch=1.0, koleo=0.1, coding_rate=0.0)


def check_branches(
    students: Sequence[str], teachers: Sequence[str], intact_weight: float, loss_weights: Mapping[str, float]
) -> None:
    """Refuses combinations that have no meaning.

    Raises:
        UserError: With the value and what is allowed.
    """
    allowed_students = [('intact', 'elastic'), ('elastic',), ('intact',)]
    allowed_teachers = [('intact',), ('elastic',), ('intact', 'elastic')]
    if tuple(students) not in allowed_students:
        raise UserError(f'students must be one of {allowed_students}, got {tuple(students)}')
    if tuple(teachers) not in allowed_teachers:
        raise UserError(f'teachers must be one of {allowed_teachers}, got {tuple(teachers)}')
    if 'intact' in students and teachers[0] != 'intact':
        raise UserError('an intact student needs an intact teacher')
    if 'elastic' in teachers and 'elastic' not in students:
        raise UserError('an elastic teacher needs an elastic student')
    if not 0 <= intact_weight <= 1:
        raise UserError(f'intact_weight must be between 0 and 1, got {intact_weight}')
    expected = {('elastic',): 0, ('intact',): 1}.get(tuple(students), intact_weight)
    if intact_weight != expected:
        raise UserError(f'with students {tuple(students)} intact_weight must be {expected}')
    unknown = set(loss_weights) - set(LOSS_WEIGHTS)
    if unknown:
        raise UserError(f'unknown loss weights {sorted(unknown)}; allowed are {sorted(LOSS_WEIGHTS)}')


def check_heads(head: nn.Module, patch_head: nn.Module | None, target: nn.Module, embed_dims: int) -> None:
    """Refuses heads that do not belong to the backbone or to the target.

    Args:
        head: For image features.
        patch_head: For patches, if they have another.
        target: Makes targets of the outputs.
        embed_dims: Size of the image feature.

    Raises:
        UserError: With the value and what is allowed.
    """
    for name, part in dict(head=head, patch_head=patch_head).items():
        if part is None:
            continue
        if part.embed_dims != embed_dims:
            raise UserError(f'{name}.embed_dims must be {embed_dims}, as of the backbone, got {part.embed_dims}')
        if isinstance(part, EmbeddingHead) != isinstance(target, Embeddings):
            raise UserError(
                f'EmbeddingHead and the target Embeddings go together, got the {name} {type(part).__name__} and the '
                f'target {type(target).__name__}'
            )
        if isinstance(target, Centering) and part.num_prototypes != target.num_prototypes:
            raise UserError(
                f'{name}.num_prototypes must be {target.num_prototypes}, as of the target, got {part.num_prototypes}'
            )


def check_crops(global_crops: Tensor, local_crops: Tensor, masks: Tensor | None, patch_loss: bool) -> None:
    """Refuses batches whose crops do not belong together.

    Raises:
        UserError: With the sizes found.
    """
    num_images, odd = divmod(len(global_crops), 2)
    if odd or num_images < 2:
        raise UserError(f'a batch needs two global crops of at least 2 images (KoLeo), got {len(global_crops)} crops')
    if not len(local_crops) or len(local_crops) % num_images:
        raise UserError(f'{num_images} images need as many local crops each, at least 1, got {len(local_crops)}')
    if patch_loss and (masks is None or len(masks) != len(global_crops)):
        raise UserError('the masked-patch loss needs one mask for every global crop')

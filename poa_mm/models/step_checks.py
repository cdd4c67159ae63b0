"""Checks of the arguments and the batches of POA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from poa_mm.errors import UserError

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

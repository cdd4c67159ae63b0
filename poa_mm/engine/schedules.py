"""Values that change over a run, as plain functions of the number of optimizer steps done.

Learning rate, weight decay and teacher momentum come from here (POA, sec. 4.1).
"""

import math

from poa_mm.errors import UserError


def cosine(step: float, start: float, end: float, total: float, warmup: float = 0) -> float:
    """Half a cosine from ``start`` to ``end``, after a linear warm-up from 0 to ``start``.

    Args:
        step: Optimizer steps done, 0 at the first one.
        start: Value at the end of the warm-up.
        end: Value at step ``total`` and later.
        total: Length of the warm-up and the cosine together, in steps; see :func:`full_length`.
        warmup: Length of the warm-up, in steps.

    Raises:
        UserError: The warm-up is negative or not shorter than ``total``.
    """
    if not 0 <= warmup < total:
        raise UserError(f'warmup must be at least 0 and less than the total of {total:g}, got {warmup}.')
    # The authors' program spaces a warm-up of n steps as i / (n - 1), and so stays at the top for one step
    # more; here it is i / n, which is continuous and defined for n = 1.
    if step < warmup:
        return start * step / warmup
    progress = min((step - warmup) / (total - warmup), 1.0)
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def full_length(steps: int, run_fraction: float = 1.0) -> float:
    """Length of a cosine whose first ``run_fraction`` is a run of ``steps`` steps.

    The authors' runs end before their cosines do (``iter_num_scale`` in their program: 0.78 for ViT, 0.9 for Swin,
    1 for ResNet).

    Raises:
        UserError: ``steps`` is below 1 or ``run_fraction`` is not in (0, 1].
    """
    if steps < 1:
        raise UserError(f'steps must be at least 1, got {steps}.')
    if not 0 < run_fraction <= 1:
        raise UserError(f'run_fraction must be above 0 and at most 1, got {run_fraction}.')
    return steps / run_fraction

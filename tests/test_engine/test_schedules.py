import math

import numpy as np
import pytest

from poa_mm.engine import cosine, full_length


@pytest.mark.parametrize(
    'steps, warmup, fraction, batch, lr, weight_decay, momentum',
    [
        (276_800, 8000, 0.78, 1600, 6.2e-4, 0.359, 0.99899),
        (216_250, 18_750, 0.9, 2048, 1.8e-4, 0.391, 0.99971),
    ],
)
def test_last_values_of_the_recipes(steps, warmup, fraction, batch, lr, weight_decay, momentum):
    total, last = full_length(steps, fraction), steps - 1
    base = 0.004 * math.sqrt(batch / 1024)
    assert f'{cosine(last, base, 2e-5, total, warmup):.1e}' == f'{lr:.1e}'
    assert round(cosine(last, 0.04, 0.4, total), 3) == weight_decay
    assert round(cosine(last, 0.992, 0.9999, total), 5) == momentum


def test_cosine_against_a_loop():
    """The chained form: each step turns the angle a little further."""
    values, angle = [], 0.0
    for step in range(13):
        if step < 3:
            values.append(step * 2.0 / 3)
            continue
        values.append(0.5 + 1.5 * math.cos(angle / 2) ** 2)
        angle += math.pi / 10
    np.testing.assert_allclose([cosine(s, 2.0, 0.5, 13, 3) for s in range(13)], values, rtol=1e-12)


def test_cosine_ends():
    assert cosine(0, 2.0, 0.5, 10, warmup=2) == 0
    assert cosine(0, 2.0, 0.5, 10) == 2
    assert cosine(2, 2.0, 0.5, 10, warmup=2) == 2
    assert cosine(10, 2.0, 0.5, 10) == cosine(99, 2.0, 0.5, 10) == 0.5


@pytest.mark.parametrize('total, warmup', [(10, 10), (10, -1), (0, 0)])
def test_wrong_warmup(total, warmup):
    with pytest.raises(ValueError, match='warmup'):
        cosine(0, 1, 0, total, warmup)


def test_wrong_lengths():
    with pytest.raises(ValueError, match=r'run_fraction.*1\.2'):
        full_length(10, 1.2)
    with pytest.raises(ValueError, match=r'steps.*0'):
        full_length(0)

import time

import pytest
import torch

from poa_mm.benchmark import Stopwatch, spread


def test_spread():
    expected = dict(min=1, lower_quartile=2, median=3, upper_quartile=4, max=9)
    assert spread([9, 1, 3, 2, 4]) == expected


def test_spans_add_up_and_inner_ones_belong_to_the_outer():
    watch = Stopwatch(torch.device('cpu'))
    nap = watch.timed(time.sleep, 'nap')
    named = watch.timed(time.sleep, lambda seconds: f'{seconds} s')
    for _ in range(2):
        with watch.span('outer'):
            nap(0.01)
        nap(0.01)
    named(0.02)
    totals = watch.totals()
    assert set(totals) == {'outer', 'nap', '0.02 s'}
    for value in totals.values():
        assert value == pytest.approx(0.02, abs=0.015) and value >= 0.0199
    assert not watch.totals()

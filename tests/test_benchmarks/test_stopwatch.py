import time
from types import SimpleNamespace

import pytest
import torch

from benchmarks import Stopwatch, spread


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


def test_watched_functions_are_put_back():
    class Worker:
        def work(self):
            return 1

    ticks = iter(range(100))
    watch = Stopwatch(torch.device('cpu'), clock=lambda: next(ticks))
    worker, tools = Worker(), SimpleNamespace(work=time.sleep)
    with pytest.raises(RuntimeError, match='broken'), watch.watching([(worker, 'work', 'a'), (tools, 'work', 'b')]):
        assert worker.work() == 1
        tools.work(0)
        raise RuntimeError('broken')
    assert vars(worker) == {} and tools.work is time.sleep
    assert watch.totals() == dict(a=1, b=1)


def test_an_error_in_a_span_ends_it():
    watch = Stopwatch(torch.device('cpu'))
    with pytest.raises(RuntimeError), watch.span('broken'):
        raise RuntimeError
    with watch.span('whole'):
        pass
    assert set(watch.totals()) == {'whole'}

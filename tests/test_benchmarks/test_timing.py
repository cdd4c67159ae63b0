import time
from types import SimpleNamespace

import pytest

from benchmarks.timing import spread, time_in_turn, time_parts


def test_spread():
    expected = dict(min=1, lower_quartile=2, median=3, upper_quartile=4, max=9)
    assert spread([9, 1, 3, 2, 4]) == expected


def test_functions_take_turns():
    order, now = [], iter(range(100))
    functions = [lambda: order.append('a'), lambda: order.append('b')]
    assert time_in_turn(functions, 3, clock=lambda: next(now)) == [[1, 1, 1], [1, 1, 1]]
    assert order == ['a', 'b', 'b', 'a', 'a', 'b']


def test_parts_add_up_and_functions_are_put_back():
    class Worker:
        def work(self, seconds):
            time.sleep(seconds)

    worker, tools = Worker(), SimpleNamespace(work=time.sleep)

    def call():
        worker.work(0.01)
        worker.work(0.02)
        tools.work(0.01)
        time.sleep(0.02)

    found = time_parts(call, [(worker, 'work', lambda s: f'{s} s'), (tools, 'work', '0.01 s')], calls=2)
    assert found == {name: pytest.approx(0.02, abs=0.012) for name in ('0.01 s', '0.02 s', 'other')}
    assert vars(worker) == {} and tools.work is time.sleep
    with pytest.raises(ZeroDivisionError):
        time_parts(lambda: 1 / 0, [(tools, 'work', 'a')])
    assert tools.work is time.sleep

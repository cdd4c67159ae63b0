from itertools import islice

import pytest
import torch
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader, Dataset

from poa_mm.datasets import Draw, SeededInfiniteSampler
from poa_mm.datasets import sampler as sampler_module
from poa_mm.registry import DATA_SAMPLERS


class Recorder(Dataset):
    """Gives back the draws and counts the loads in this process."""

    def __init__(self, length):
        self.length = length
        self.loads = 0

    def __len__(self):
        return self.length

    def __getitem__(self, draw):
        self.loads += 1
        return torch.tensor(draw)


def build(length=10, rank=0, world_size=1, monkeypatch=None, **kwargs):
    if monkeypatch is not None:
        monkeypatch.setattr(sampler_module, 'get_dist_info', lambda: (rank, world_size))
    return SeededInfiniteSampler(range(length), **{'seed': 3, **kwargs})


def test_is_built_as_the_runner_does():
    cfg = dict(type='SeededInfiniteSampler')
    sampler = DATA_SAMPLERS.build(cfg, default_args=dict(dataset=range(4), seed=5))
    assert sampler.seed == 5
    assert len(sampler) == 4


def test_every_pass_visits_every_image_in_its_own_order():
    draws = list(islice(build(), 30))
    assert [draw.position for draw in draws] == list(range(30))
    assert {draw.seed for draw in draws} == {3}
    passes = [[draw.index for draw in draws[i : i + 10]] for i in (0, 10, 20)]
    assert all(sorted(order) == list(range(10)) for order in passes)
    assert passes[0] != passes[1] != passes[2]


def test_is_a_pure_function_of_the_seed():
    assert list(islice(build(), 25)) == list(islice(build(), 25))
    assert list(islice(build(), 25)) != list(islice(build(seed=4), 25))


def test_no_shuffle_keeps_the_order():
    draws = islice(build(shuffle=False), 12)
    assert [draw.index for draw in draws] == [*range(10), 0, 1]


def test_no_seed_draws_one():
    assert isinstance(build(seed=None).seed, int)


def test_ranks_share_the_stream_of_one_process(monkeypatch):
    whole = list(islice(build(), 36))
    for rank in range(3):
        part = build(rank=rank, world_size=3, monkeypatch=monkeypatch)
        assert list(islice(part, 12)) == whole[rank::3]


def test_a_batch_is_that_of_the_stream_and_makes_each_order_once(monkeypatch):
    sampler = build(batch_size=24, rank=1, world_size=2, monkeypatch=monkeypatch)
    stream, orders = iter(sampler), []
    expected = [[next(stream) for _ in range(24)] for _ in range(3)]
    plain = sampler._order
    monkeypatch.setattr(sampler, '_order', lambda number: orders.append(number) or plain(number))
    assert [sampler.batch(number) for number in range(3)] == expected
    assert orders == [2, 3, 4, 7, 8, 9, 12, 13, 14]  # draws 24 to 47, 72 to 95, 120 to 143; passes of 10


@pytest.mark.parametrize('skipped', [0, 1, 7, 25])
def test_skip_goes_on_where_the_run_was(skipped, monkeypatch):
    arguments = dict(rank=1, world_size=2, monkeypatch=monkeypatch)
    whole = list(islice(build(**arguments), skipped + 20))
    resumed = build(**arguments)
    resumed.skip(skipped)
    assert list(islice(resumed, 20)) == whole[skipped:]


@pytest.mark.parametrize('num_workers', [0, 2])
def test_resume_in_mmengines_loop_loads_nothing_it_skips(num_workers):
    def loader():
        data = Recorder(10)
        sampler = SeededInfiniteSampler(data, seed=1)
        return data, _InfiniteDataloaderIterator(
            DataLoader(data, batch_size=4, sampler=sampler, num_workers=num_workers)
        )

    _, batches = loader()
    whole = [next(batches) for _ in range(8)]
    data, resumed = loader()
    resumed.skip_iter(5)
    assert data.loads == 0
    for expected in whole[5:]:
        assert torch.equal(next(resumed), expected)
    draw = Draw(*whole[5][0].tolist())
    assert draw.position == 20


def test_bad_values_are_told():
    with pytest.raises(ValueError, match='0 images'):
        build(length=0)
    with pytest.raises(ValueError, match='cannot skip -1'):
        build().skip(-1)

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from poa_mm.datasets import SeededInfiniteSampler
from poa_mm.engine import BatchSizeCheckHook
from poa_mm.errors import UserError


class FakeRunner:
    def __init__(self, loader, expected=None):
        self.train_dataloader = loader
        self.optim_wrapper = type('Wrapper', (), dict(expected_batch_size=expected))


def _loader(n=9, **kwargs):
    return DataLoader(TensorDataset(torch.zeros(n)), **kwargs)


def test_in_a_run(make_runner):
    make_runner(steps=1, hooks=[dict(type='BatchSizeCheckHook')]).train()
    runner = make_runner(steps=1, batch_size=4, hooks=[BatchSizeCheckHook()])
    runner.optim_wrapper.update(batch_size=3, total_batch=3)
    with pytest.raises(ValueError, match=r'4 images a batch.* 3:'):
        runner.train()
    runner = make_runner(steps=1, batch_size=4, hooks=[BatchSizeCheckHook()], sampler=dict(batch_size=2))
    with pytest.raises(UserError, match=r'4 images a batch.* deals out batches of 2'):
        runner.train()


def test_too_small_for_koleo(make_runner):
    with pytest.raises(ValueError, match='at least 2 images, got 1'):
        make_runner(steps=1, batch_size=1, hooks=[BatchSizeCheckHook()]).train()


def test_rest_of_an_epoch():
    check = BatchSizeCheckHook().before_train
    with pytest.raises(ValueError, match='drop_last'):
        check(FakeRunner(_loader(9, batch_size=4)))
    check(FakeRunner(_loader(9, batch_size=4, drop_last=True)))
    check(FakeRunner(_loader(10, batch_size=4)))
    check(FakeRunner(_loader(9, batch_size=4, sampler=SeededInfiniteSampler(range(9), batch_size=4))))  # never ends


def test_batch_sampler():
    sampler = torch.utils.data.BatchSampler(range(9), 4, drop_last=True)
    check = BatchSizeCheckHook().before_train
    check(FakeRunner(_loader(9, batch_sampler=sampler), expected=4))
    with pytest.raises(ValueError, match=r'4 images a batch.* 5:'):
        check(FakeRunner(_loader(9, batch_sampler=sampler), expected=5))

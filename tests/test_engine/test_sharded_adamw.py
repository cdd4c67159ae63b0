"""The optimizer that two processes share, against AdamW, and its checkpoints in one process and in two."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import poa_mm
from poa_mm.engine import ShardedAdamW
from poa_mm.engine.sharded_adamw import share_out

WORKER = Path(__file__).parent / 'sharded_worker.py'
spec = importlib.util.spec_from_file_location('sharded_worker', WORKER)
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    """One process alone, then two that also go on from its checkpoint, then one that goes on from theirs."""
    folder = tmp_path_factory.mktemp('sharded')
    half = f'iter_{worker.HALF}.pth'
    one = worker.run(folder / 'one', 'AdamW')
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(Path(poa_mm.__file__).parents[1]))
    processes = [
        subprocess.Popen(
            [sys.executable, WORKER, str(rank), '2', folder],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    texts = [process.communicate(timeout=300)[0] for process in processes]
    assert not any(process.returncode for process in processes), texts
    two = [torch.load(folder / f'{rank}.pt') for rank in range(2)]
    kinds = ('AdamW', 'ShardedAdamW')
    resumed = [worker.run(folder / kind, kind, resume=True, load_from=str(folder / 'sharded' / half)) for kind in kinds]
    return dict(one=one, two=two, resumed=resumed, folder=folder)


def assert_same_weights(found, expected, exact=True):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-6, msg=name)


def test_two_processes_share_the_state_of_adamw(results):
    for result in results['two']:
        assert result['sharded']['losses'] == result['plain']['losses']
        assert_same_weights(result['sharded']['weights'], result['plain']['weights'])
    numbers = [result['sharded']['numbers'] for result in results['two']]
    whole = results['two'][0]['plain']['numbers']
    assert sum(numbers) == whole and max(numbers) < 0.6 * whole


def test_checkpoint_is_that_of_adamw(results):
    sharded, plain = (
        torch.load(results['folder'] / n / 'iter_2.pth', weights_only=False) for n in ('sharded', 'plain')
    )
    sharded, plain = sharded['optimizer'], plain['optimizer']
    assert sharded.keys() == plain.keys() and list(sharded['state']) == list(plain['state'])
    for index, entry in plain['state'].items():
        assert all(torch.equal(sharded['state'][index][key], value) for key, value in entry.items())


def test_two_go_on_from_two(results):
    for result in results['two']:
        assert result['again']['losses'] == result['sharded']['losses'][worker.HALF :]
        assert_same_weights(result['again']['weights'], result['sharded']['weights'])


def test_one_goes_on_from_two(results):
    expected = results['two'][0]['sharded']
    for result in results['resumed']:
        torch.testing.assert_close(result['losses'], expected['losses'][worker.HALF :], rtol=1e-6, atol=1e-6)
        assert_same_weights(result['weights'], expected['weights'], exact=False)


def test_two_go_on_from_one(results):
    expected = results['one']
    for result in results['two']:
        torch.testing.assert_close(
            result['from_one']['losses'], expected['losses'][worker.HALF :], rtol=1e-6, atol=1e-6
        )
        assert_same_weights(result['from_one']['weights'], expected['weights'], exact=False)


def test_the_state_matters(results):
    """Without it the run goes on otherwise: what is compared above depends on it."""
    folder = results['folder']
    forgot = torch.load(folder / 'one/iter_2.pth', weights_only=False)
    for entry in forgot['optimizer']['state'].values():
        entry['exp_avg_sq'].mul_(4)
    torch.save(forgot, folder / 'forgot.pth')
    result = worker.run(folder / 'forgot', 'ShardedAdamW', resume=True, load_from=str(folder / 'forgot.pth'))
    found, expected = (torch.tensor(losses[-1]) for losses in (result['losses'], results['one']['losses']))
    assert not torch.isclose(found, expected, rtol=1e-5)


def test_share_out():
    assert share_out([5, 1, 1, 3, 4], 2) == [0, 0, 0, 1, 1]
    assert share_out([2, 2], 3) == [0, 1]


def test_no_group_later():
    optimizer = ShardedAdamW(nn.Linear(2, 2).parameters(), lr=0.1)
    with pytest.raises(ValueError, match='from the start'):
        optimizer.add_param_group(dict(params=nn.Linear(2, 2).parameters()))

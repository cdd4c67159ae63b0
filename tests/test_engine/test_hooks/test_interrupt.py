"""Signals end a run with a checkpoint from which it continues."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from mmengine.hooks import Hook
from torch.utils.data import Dataset

from poa_mm.engine.hooks import InterruptHook
from poa_mm.engine.interrupt import SIGNALS, catch_signals, received
from poa_mm.engine.newest import newest_intact
from poa_mm.errors import RunStopped


@pytest.fixture(autouse=True)
def handlers_stay():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    catch_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Raise(Hook):
    """Sends a signal to this process in the middle of a step."""

    def __init__(self, number, step):
        self.number, self.step = number, step

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize('number', SIGNALS)
def test_checkpoint_at_the_next_step_and_bit_for_bit_afterwards(number, make_runner, tmp_path):
    make_runner(steps=5, work_dir=tmp_path / 'whole', default_hooks=saving()).train()
    stopped = make_runner(steps=5, default_hooks=saving(), hooks=[InterruptHook(), Raise(number, 2)])
    with pytest.raises(
        RunStopped, match=f'{number.name} ended the run after step 3: its checkpoint is written'
    ) as stop:
        stopped.train()
    assert stop.value.exit_code == 75
    assert sorted(path.name for path in (tmp_path / 'run').glob('*.pth')) == ['iter_3.pth']
    resumed = make_runner(
        steps=5,
        default_hooks=saving(),
        hooks=[InterruptHook()],
        resume=True,
        load_from=str(tmp_path / 'run/iter_3.pth'),
    )
    catch_signals()  # forgets the signal, as a new process would
    resumed.train()
    one, two = (torch.load(tmp_path / place / 'iter_5.pth', weights_only=False) for place in ('whole', 'run'))
    for name, value in one['state_dict'].items():
        assert torch.equal(value, two['state_dict'][name])


def saving():
    return dict(checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=5))


def test_a_checkpoint_of_the_same_step_is_not_written_twice(make_runner, tmp_path):
    hooks = dict(checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=1))
    with pytest.raises(RunStopped):
        make_runner(default_hooks=hooks, hooks=[InterruptHook(), Raise(signal.SIGTERM, 1)]).train()
    assert (tmp_path / 'run/last_checkpoint').read_text().endswith('iter_2.pth')


def test_an_undisturbed_run(make_runner):
    runner = make_runner(hooks=[InterruptHook()])
    runner.train()
    assert runner.iter == 4 and received() is None


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
def test_the_second_signal_leaves_at_once(number):
    code = """
from poa_mm.engine import interrupt
interrupt.catch_signals()
print('ready', flush=True)
while True:
    pass
"""
    with subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE) as process:
        while process.stdout.readline() != b'ready\n':  # libraries print too
            pass
        process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(number)
        assert process.wait(10) == -number


class Rows(Dataset):
    """Fixed random rows by index."""

    def __len__(self):
        return 16

    def __getitem__(self, index):
        return torch.randn(3, generator=torch.Generator().manual_seed(index))


@pytest.mark.parametrize('persistent', [False, True])
def test_workers_outlive_the_signal_and_end_with_the_run(persistent):
    """Slurm sends it to them too, and PyTorch's own handler would end them, and so the run."""
    code = f"""
import sys
from poa_mm.engine import PoaRunner
from poa_mm.engine.interrupt import catch_signals
catch_signals()
sampler = dict(type='DefaultSampler', shuffle=False)
loader = dict(dataset=list(range(16)), batch_size=2, num_workers=2, persistent_workers={persistent}, sampler=sampler)
loader = PoaRunner.build_dataloader(loader)
batches = iter(loader)
first = next(batches), next(batches)  # both workers have started
print('workers', *(worker.pid for worker in batches._workers), flush=True)
sys.stdin.readline()
print('batches', len(first) + len(list(batches)), flush=True)
if {persistent}:
    next(iter(loader))
"""
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with subprocess.Popen([sys.executable, '-c', code], **pipes) as process:
        lines = iter(process.stdout)
        workers = next(line for line in lines if line.startswith('workers')).split()[1:]
        for worker in map(int, workers):
            os.kill(worker, signal.SIGTERM)
        process.stdin.write('\n')
        process.stdin.flush()
        assert next(line for line in lines if line.startswith('batches')) == 'batches 8\n'
        assert process.wait(60) == 0
    for worker in map(int, workers):
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


class RaiseAt(Raise):
    """Sends the signal in the iteration of that number, counted over epochs."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        super().before_train_iter(runner, runner.iter)


@pytest.mark.parametrize('step', [10, 15])  # within the second epoch of 8 iterations, and at its end
def test_a_run_of_epochs_goes_on_within_the_epoch(step, make_runner, tmp_path):
    def run(place, hooks=(), **kwargs):
        loader = dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True, seed=3),
            dataset=Rows(),
            collate_fn=lambda rows: dict(inputs=dict(x=torch.stack(rows))),
        )
        runner = make_runner(
            steps=24,
            work_dir=tmp_path / place,
            train_cfg=dict(type='ResumableEpochLoop', max_epochs=3),
            train_dataloader=loader,
            default_hooks=dict(
                checkpoint=dict(type='AtomicCheckpointHook', interval=1, max_keep_ckpts=2),
                sampler_seed=dict(type='DistSamplerSeedHook'),
            ),
            hooks=[InterruptHook(), *hooks],
            **kwargs,
        )
        catch_signals()
        runner.train()

    run('whole')
    with pytest.raises(RunStopped, match=f'after step {step + 1}: its checkpoint is written') as stop:
        run('run', [RaiseAt(signal.SIGUSR1, step)])
    assert stop.value.exit_code == 75
    found = newest_intact(tmp_path / 'run')
    assert found.name == f'epoch_1_iter_{step + 1}.pth'
    run('run', resume=True, load_from=str(found))
    assert sorted(path.name for path in (tmp_path / 'run').glob('*.pth')) == ['epoch_2.pth', 'epoch_3.pth']
    one, two = (torch.load(tmp_path / place / 'epoch_3.pth', weights_only=False) for place in ('whole', 'run'))
    assert one['meta']['iter'] == two['meta']['iter'] == 24
    assert all(torch.equal(value, two['state_dict'][name]) for name, value in one['state_dict'].items())

"""Signals end a run with a checkpoint from which it continues."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from mmengine.hooks import Hook

from poa_mm.engine.hooks import InterruptHook
from poa_mm.engine.interrupt import SIGNALS, catch_signals, received
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

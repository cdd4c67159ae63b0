"""What a run shows on a terminal and without one, and that the log file holds everything."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRAIN = [
    *('-m', 'poa_mm', 'train', ROOT / 'configs/poa_demo.py', '--work-dir', 'run', '--cfg-options'),
    *('steps=48', 'batch_size=2', 'total_batch=4', 'log_interval=16'),
]


def run(folder, terminal):
    """Exit status and screen of a run; on a pseudo-terminal of 200 columns, or without one."""
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1')
    reader, writer = pty.openpty() if terminal else os.pipe()
    if terminal:
        fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack('HHHH', 50, 200, 0, 0))
    process = subprocess.Popen(
        [sys.executable, *map(str, TRAIN)], cwd=folder, env=env, stdout=writer, stderr=writer, stdin=subprocess.DEVNULL
    )
    os.close(writer)
    chunks = []
    try:
        while chunk := os.read(reader, 65536):
            chunks.append(chunk)
    except OSError:  # how a pseudo-terminal ends
        pass
    os.close(reader)
    return process.wait(timeout=60), b''.join(chunks).decode()


@pytest.mark.parametrize('terminal', [True, False])
def test_one_screen_before_the_first_step(tmp_path, terminal):
    status, screen = run(tmp_path, terminal)
    assert status == 0, screen
    lines = screen.replace('\r', '\n').splitlines()
    for fact in (
        r'data +2,000 images, DemoDataset$',
        r'network +POA of ElasticVisionTransformer, 1.02 M parameters: 12 sub-networks from 64x2 to 128x5$',
        r'batch +4 images: 2 per process x 1 x 2 accumulated$',
        r'length +48 steps, 0.096 passes over the data$',
        r'writes to +\S*run$',
    ):
        assert [line for line in lines if re.search(fact, line)], (fact, screen)
    bars = [line for line in lines if 'images/s' in line]
    steps = [line for line in lines if 'Iter(train)' in line]
    first = lines.index((bars if terminal else steps)[0])
    assert first < 24 and 'deprecated' not in screen and 'OneDL' not in screen

    assert re.search(
        r'finished in \d+ s; the last checkpoint is \S+iter_48\.pth$', lines[-1].strip() or lines[-2].strip()
    )

    (log,) = tmp_path.glob('run/*/*.log')
    text = log.read_text()
    assert 'System environment:' in text and 'Hooks will be executed' in text and 'network   ' in text
    logged = re.findall(r'Iter\(train\) \[(\d+)/48\].* loss: (\S+)', text)
    assert [step for step, _ in logged] == ['16', '32', '48']
    if not terminal:
        assert not bars and len(steps) == 3
        estimates = [i for i, line in enumerate(lines) if re.search(r' s left: 41 steps, now \S+ s each$', line)]
        assert len(estimates) == 1 and estimates[0] < first
        return
    assert not steps
    # The bar repeats the loss that was logged last, and names the sub-network of its step.
    shown = re.findall(r'(\d+)/48 \[\d\d:\d\d<\d\d:\d\d, \S+ images/s, loss (\S+), network (\d+x\d+)', screen)
    assert shown and shown[-1][0] == '48', screen
    losses = {f'{float(loss):.4g}' for _, loss in logged}
    assert {loss for _, loss, _ in shown} <= losses and len({network for *_, network in shown}) > 1

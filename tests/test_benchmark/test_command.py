"""The command line, in this process."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from poa_mm.benchmark import report

TOOL = Path(__file__).resolve().parents[2] / 'tools/benchmark.py'


@pytest.fixture
def run(config_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(report.SQUARE, 'cpu', 64)

    def call(*args):
        out = tmp_path / 'out.json'
        argv = [str(TOOL), str(config_file), '--device', 'cpu', '--out', str(out), *args]
        monkeypatch.setattr(sys, 'argv', argv)
        runpy.run_path(str(TOOL), run_name='__main__')
        return json.loads(out.read_text()), capsys.readouterr().out

    return call


def test_one_config(run):
    told, text = run('--steps', '1', '--warmup', '0', '--batch-size', '2', '--amp', 'bfloat16', '--subnet', '32x2')
    assert told['result']['images_per_step'] == 4 and told['result']['dtype'] == 'bfloat16'
    assert told['result']['subnet'] == told['arguments']['subnet'] == '32x2'
    assert 'GFLOP a step' in text


def test_two_variants(run):
    told, text = run('--steps', '2', '--warmup', '0', '--compare-options', 'optim_wrapper.accumulative_counts=4')
    assert told['result']['ratio']['median'] > 1 and 'second / first' in text


def test_straggling(run):
    told, _ = run('--straggling', '4')
    values = list(told['result'].values())
    assert values[0] > values[1] and len(values) == 5


def test_errors(run, capsys):
    with pytest.raises(SystemExit):
        run('--subnet', '9x9')
    assert 'sub-network 9x9 is not in this space' in capsys.readouterr().err

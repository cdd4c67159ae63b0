"""Measuring one step, or two in turn."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import parts, step, timing
from benchmarks.step import benchmark, describe
from benchmarks.training import TrainingStep

CPU = torch.device('cpu')
ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures('no_product_rates')


@pytest.fixture
def run(command, config_file, tmp_path, capsys):
    def call(*args):
        out = tmp_path / 'out.json'
        assert command(step, config_file, '--device', 'cpu', '--out', out, *args) == 0
        return json.loads(out.read_text()), capsys.readouterr().out

    return call


def test_benchmark(config):
    result = benchmark(TrainingStep(config, CPU), steps=2, warmup=1)
    assert result['images_per_step'] == 6
    assert result['images_per_second'] == pytest.approx(6 / result['seconds_per_step']['median'])
    assert result['operations_per_step'] == pytest.approx(sum(result['operations'].values()))
    for name, rate in result['rates'].items():
        assert result['fractions'][name] == pytest.approx(result['rate'] / rate)
    text = describe(result)
    assert 'backward' in text and '6 images a step' in text


def test_drawn_subnets_are_averaged(config, monkeypatch):
    monkeypatch.setattr(timing, 'time_parts', lambda *args: {})  # the split takes longer than the steps
    drawn = benchmark(TrainingStep(config, CPU, subnet='drawn'), steps=3, warmup=0)
    sampler = TrainingStep(config, CPU, subnet='drawn').model.sampler
    each = [
        benchmark(TrainingStep(config, CPU, subnet=str(sampler(number, rank))), 1, 0)['operations_per_step']
        for number in (3, 4, 5)  # those after the timed ones
        for rank in (0, 1)  # the micro-batches of each
    ]
    # Drop path draws as many samples for any sub-network.
    assert drawn['operations_per_step'] == pytest.approx(np.mean(each))
    assert drawn['subnet'] is None


def test_one_config(run):
    found, text = run('--steps', '1', '--warmup', '0', '--batch-size', '2', '--amp', 'bfloat16', '--subnet', '32x2')
    assert found['result']['images_per_step'] == 4 and found['result']['dtype'] == 'bfloat16'
    assert found['result']['subnet'] == found['arguments']['subnet'] == '32x2'
    assert 'GFLOP a step' in text


def test_two_variants(run):
    found, text = run('--steps', '2', '--warmup', '0', '--compare-options', 'optim_wrapper.total_batch=12')
    assert found['result']['ratio']['median'] > 1 and 'second / first' in text


def test_serve(config_file):
    arguments = [sys.executable, '-m', 'benchmarks.step', str(config_file), '--serve', '--device', 'cpu']
    done = subprocess.run(arguments, cwd=ROOT, input='\n\n', capture_output=True, text=True)
    assert [line for line in done.stdout.splitlines() if line.startswith(('images', 'done'))] == ['images 6'] + 2 * [
        'done'
    ]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ('--steps 0', '--steps: must be a whole number of at least 1, got '),
        ('--warmup=-1', '--warmup: must be a whole number of at least 0, got '),
        ('--cfg-options steps', "--cfg-options takes KEY=VALUE, got 'steps'"),
        ('--against HEAD --compare x.py', 'not allowed with argument'),
        ('--against HEAD --compare-options a=1', '--compare-options goes with --compare or alone'),
        ('--device nonsense', "device 'nonsense' cannot be used: "),
        ('--subnet 9x9', 'sub-network 9x9 is not in this space'),
        ('--compare nowhere.py', "config 'nowhere.py' does not exist"),
        ('--out /proc/none/out.json', 'cannot write into /proc/none'),
    ],
)
def test_mistakes_end_in_one_sentence(command, config_file, capsys, arguments, message):
    assert command(step, config_file, '--device', 'cpu', *arguments.split()) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'error:' in line]
    assert message in line


def test_no_images(command, config_file, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    text = config_file.read_text()
    demo, folder = "type='DemoDataset', num_samples=8, image_size=48", "type='mmpretrain.CustomDataset', data_root={!r}"
    assert demo in text
    config_file.write_text(text.replace(demo, folder.format(str(tmp_path / 'empty'))))
    assert command(step, config_file, '--device', 'cpu', '--real-data') == 2
    assert 'holds no images' in capsys.readouterr().err


def test_config_of_something_else(command, config_file, capsys):
    text = config_file.read_text()
    for other, message in ((text.replace("'POA'", "'mmdet.MaskRCNN'"), 'mmdet.MaskRCNN'), ('a = 1', 'without a model')):
        config_file.write_text(other)
        assert command(step, config_file, '--device', 'cpu') == 2
        assert message in (said := capsys.readouterr().err) and 'the benchmark is of POA pre-training, not of' in said


def test_parts(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parts, 'CHANGES', {'Sinkhorn': ('sinkhorn', 6, 20), 'drop path': ('drop_path', 3, 8, 0.2)})
    assert command(parts, '--rounds', 2, '--only', 'drop', '--out', tmp_path / 'out.json') == 0
    ((result,), text) = json.loads((tmp_path / 'out.json').read_text())['results'], capsys.readouterr().out
    assert result['change'] == 'drop path' in text and result['ratio']['median'] > 0 and 0 < result['kept'] < 1
    assert command(parts, '--only', 'nothing of the kind') == 2
    assert 'is in none of' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['step', 'parts', 'data', 'gpu', 'scale'])
def test_help_imports_nothing_large(name):
    code = f'import sys; from benchmarks import {name}; assert not {{"torch", "numpy"}} & set(sys.modules)'
    subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)

"""The command line, in this process."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from benchmarks import report

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


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ('--steps 0', '--steps: must be a whole number of at least 1, got '),
        ('--steps=-2', 'got '),
        ('--warmup=-1', '--warmup: must be a whole number of at least 0, got '),
        ('--batch-size 0', '--batch-size: must be a whole number of at least 1'),
        ('--straggling 0', '--straggling: must be a whole number of at least 1'),
        ('--straggling 2 --compare x.py', 'not allowed with argument'),
        ('--against HEAD --compare x.py', 'not allowed with argument'),
        ('--against HEAD --compare-options a=1', '--compare-options goes with --compare or alone'),
        ('--device nonsense', "device 'nonsense' cannot be used: "),
        ('--compare nowhere.py', "config 'nowhere.py' does not exist"),
        ('--out /proc/none/out.json', 'cannot write into /proc/none'),
        ('--out /', '/ is a folder'),
    ],
)
def test_mistakes_end_in_one_sentence(run, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        run(*arguments.split())
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'error:' in line]
    assert stopped.value.code == 2 and message in line


def test_no_images(run, config_file, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    text = config_file.read_text()
    demo, folder = "type='DemoDataset', num_samples=8, image_size=48", "type='mmpretrain.CustomDataset', data_root={!r}"
    assert demo in text
    config_file.write_text(text.replace(demo, folder.format(str(tmp_path / 'empty'))))
    with pytest.raises(SystemExit):
        run('--real-data')
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'error:' in line]
    assert 'holds no images' in line and 'empty' in line


def test_config_that_is_none(run, tmp_path, capsys):
    (tmp_path / 'notes.txt').write_text('a = 1')
    with pytest.raises(SystemExit):
        run('--compare', str(tmp_path / 'notes.txt'))
    assert 'error: Only py/yml/yaml/json type are supported' in capsys.readouterr().err


@pytest.mark.parametrize('more', [[], ['--straggling', '2']])
def test_config_of_something_else(run, config_file, capsys, more):
    text = config_file.read_text()
    for other, message in ((text.replace("'POA'", "'mmdet.MaskRCNN'"), 'mmdet.MaskRCNN'), ('a = 1', 'without a model')):
        config_file.write_text(other)
        with pytest.raises(SystemExit):
            run(*more)
        assert 'the benchmark is of POA pre-training, not of' in (told := capsys.readouterr().err) and message in told

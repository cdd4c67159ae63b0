"""The command line itself: quick help, mistakes as one sentence, tracebacks of bugs, thin doors."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

import poa_mm
from poa_mm.commands import knn, main
from poa_mm.commands.main import COMMANDS, build_parser
from poa_mm.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {'torch', 'torchvision', 'numpy', 'matplotlib', 'mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg', 'sklearn'}
IMPORTED = """
import sys
import poa_mm
assert not {heavy} & sys.modules.keys(), 'import poa_mm'
from poa_mm.commands import main
codes = []
for arguments in {lines}:
    try:
        main(arguments)
    except SystemExit as stopped:
        codes.append(stopped.code)
print(codes, sorted({heavy} & sys.modules.keys()))
"""


def test_help_and_typing_mistakes_import_nothing_heavy():
    lines = [['--help'], ['--version'], ['nothing'], ['knn', '--wrong'], ['train', 'x.py', '--cfg-options', 'lr']]
    lines += [[name, '--help'] for name in COMMANDS]
    code = IMPORTED.format(heavy=HEAVY, lines=lines)
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f'{[0, 0, 2, 2, 2] + [0] * len(COMMANDS)} []'
    assert 'usage: poa [-h]' in done.stdout and f'poa_mm {poa_mm.__version__}' in done.stdout


def test_python_m_and_the_doors():
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    for command in (['-m', 'poa_mm', 'knn'], [str(ROOT / 'tools/knn.py')]):
        done = subprocess.run([sys.executable, *command, '--help'], env=env, capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.startswith('usage: poa knn [-h]'), done.stderr
    # tools/select.py would hide the module of the standard library; import is not a Python name
    doors = {'select': 'select_subnet', 'import': 'import_weights', 'compare': 'compare_run'}
    for name in COMMANDS:
        assert f"main(['{name}', *sys.argv[1:]])" in (ROOT / f'tools/{doors.get(name, name)}.py').read_text()


def failing(error):
    def run(args):
        raise error

    return run


@pytest.mark.parametrize(
    ('error', 'sentence'),
    [
        (UserError('k must be positive, got 0'), 'k must be positive, got 0'),
        (ModuleNotFoundError('no', name='mmdet.models'), 'mmdet is not installed: pip install onedl-mmdetection'),
    ],
)
def test_mistakes_are_one_sentence(monkeypatch, capsys, error, sentence):
    monkeypatch.setattr(knn, 'run', failing(error))
    with pytest.raises(SystemExit) as stopped:
        main(['knn', 'x.pth'])
    printed = capsys.readouterr()
    assert stopped.value.code == 2 and printed.err.startswith(f'poa knn: error: {sentence}') and not printed.out


@pytest.mark.parametrize('error', [ValueError('a bug'), OSError('disk'), ModuleNotFoundError('no', name='poa_mm.x')])
def test_bugs_keep_their_traceback(monkeypatch, error):
    monkeypatch.setattr(knn, 'run', failing(error))
    with pytest.raises(type(error)) as raised:
        main(['knn', 'x.pth'])
    assert raised.value is error


def test_only_the_first_process_reports_at_once(monkeypatch):
    """The launcher ends the others before they repeat the sentence."""
    waited = []
    monkeypatch.setattr(knn, 'run', failing(UserError('wrong')))
    monkeypatch.setattr('time.sleep', waited.append)
    for rank in ('0', '1'):
        monkeypatch.setenv('RANK', rank)
        with pytest.raises(SystemExit):
            main(['knn', 'x.pth'])
    assert len(waited) == 1 and waited[0] > 0


def options():
    """``(command, option)`` of all parsers."""
    (commands,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return [(name, action) for name, parser in commands.choices.items() for action in parser._actions]


def test_every_option_has_help_and_says_its_default():
    silent = [(name, action.dest) for name, action in options() if not action.help]
    optional = [(name, a) for name, a in options() if a.option_strings and not a.required and a.nargs != 0]
    exempt = ('cfg_options', 'local_rank')  # changes nothing; set by launchers
    no_default = [(name, a.dest) for name, a in optional if 'default: ' not in a.help and a.dest not in exempt]
    assert (silent, no_default) == ([], [])
    wrong = [
        (name, a.dest, a.default)
        for name, a in optional
        if isinstance(a.default, int) and a.dest != 'local_rank' and f'default: {a.default}' not in a.help
    ]
    assert wrong == []


def test_options_mean_the_same_in_all_commands():
    meaning = {
        'out': lambda a: a.help.startswith('write ') and a.metavar.startswith(('DIR', 'FILE.')) and a.type,
        'amp': lambda a: a.help.startswith('mixed precision') and a.nargs == 0,
        'config': lambda a: 'default: the one in the checkpoint' in a.help or a.help.startswith('config'),
        'cfg_options': lambda a: a.help.startswith('change the config'),
    }
    found = [(name, a.dest, bool(meaning[a.dest](a))) for name, a in options() if a.dest in meaning]
    assert len(found) > 20 and [each for each in found if not each[2]] == []

"""A checkout of two versions whose steps take different times."""

import shutil
import subprocess

import pytest

from benchmarks import compare_revision

LAUNCH = """
from types import SimpleNamespace


def load_config(path, options, work_dir, launcher):
    return SimpleNamespace(path=path, options=options, optim_wrapper=None, get=lambda key, default: default)
"""
BENCHMARK = """
import time


class TrainingStep:
    images = 6

    def __init__(self, cfg, device, subnet):
        if 'broken' in cfg.options:
            raise ValueError('no such step')
        self.device = device
        self.seconds = float(open(cfg.path).read()) * (2 if subnet == 'slow' else 1)
        print('this is no answer')

    def __call__(self):
        time.sleep(self.seconds)
"""
ARGUMENTS = dict(steps=3, warmup=1, options={}, amp=None, device='cpu', arguments=dict(subnet='slow'))


@pytest.fixture
def checkout(tmp_path):
    """The config holds the seconds of a step: 0.05 at the tag ``before``, 0.1 now."""
    if shutil.which('git') is None:
        pytest.skip('needs git')
    files = {'launch.py': LAUNCH, 'benchmark.py': BENCHMARK, '__init__.py': ''}
    (tmp_path / 'poa_mm').mkdir()
    for name, text in files.items():
        (tmp_path / 'poa_mm' / name).write_text(text)
    config = tmp_path / 'config.py'
    config.write_text('0.05')

    def git(*args):
        identity = ('-c', 'user.name=nobody', '-c', 'user.email=nobody@example.com')
        subprocess.run(['git', '-C', tmp_path, *identity, *args], check=True, capture_output=True)

    git('init')
    git('add', '.')
    git('commit', '-m', 'before')
    git('tag', 'before')
    config.write_text('0.1')
    return tmp_path


def test_ratio(checkout):
    result = compare_revision('before', str(checkout / 'config.py'), root=checkout, **ARGUMENTS)
    assert 1.4 < result['ratio']['median'] < 2.6
    assert result['seconds_per_step'][0]['min'] >= 0.1
    assert result['images_per_second'][0] == pytest.approx(6 / result['seconds_per_step'][0]['median'])


def test_errors(checkout, tmp_path_factory):
    config = str(checkout / 'config.py')
    with pytest.raises(ValueError, match="'nowhere' is no revision"):
        compare_revision('nowhere', config, root=checkout, **ARGUMENTS)
    with pytest.raises(ValueError, match="'--all' is no revision"):
        compare_revision('--all', config, root=checkout, **ARGUMENTS)
    with pytest.raises(ValueError, match='the step of before cannot be run: ValueError: no such step'):
        compare_revision('before', config, root=checkout, **{**ARGUMENTS, 'options': dict(broken=True)})
    with pytest.raises(ValueError, match=r'none\.py'):
        compare_revision('before', 'none.py', root=checkout, **ARGUMENTS)
    elsewhere = tmp_path_factory.mktemp('elsewhere')
    with pytest.raises(ValueError, match='needs a git checkout'):
        compare_revision('before', config, root=elsewhere, **ARGUMENTS)

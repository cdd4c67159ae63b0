"""A checkout of two versions whose steps take different times."""

import shutil
import subprocess

import pytest

from benchmarks.revisions import compare_revision

STEP = """
import sys
import time

seconds = float(open(sys.argv[1]).read()) * (2 if '--slow' in sys.argv else 1)
if '--broken' in sys.argv:
    raise ValueError('no such step')
assert '--serve' in sys.argv and '--against' not in sys.argv
print('images 6\\nanother line', flush=True)
for _ in sys.stdin:
    time.sleep(seconds)
    print('done', flush=True)
"""


@pytest.fixture
def checkout(tmp_path):
    """The config holds the seconds of a step: 0.05 at the tag ``before``, 0.1 now."""
    if shutil.which('git') is None:
        pytest.skip('needs git')
    (tmp_path / 'benchmarks').mkdir()
    (tmp_path / 'benchmarks/__init__.py').touch()
    (tmp_path / 'benchmarks/step.py').write_text(STEP)
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


def compare(root, config, revision='before', *more):
    return compare_revision(revision, str(config), [str(config), '--against', revision, *more], 3, 1, root)


def test_ratio(checkout):
    result = compare(checkout, checkout / 'config.py', 'before', '--slow')
    assert 1.4 < result['ratio']['median'] < 2.6
    assert result['seconds_per_step'][0]['min'] >= 0.1
    assert result['images_per_second'][0] == pytest.approx(6 / result['seconds_per_step'][0]['median'])


def test_errors(checkout, tmp_path_factory):
    config = checkout / 'config.py'
    with pytest.raises(ValueError, match="'nowhere' is not a revision"):
        compare(checkout, config, 'nowhere')
    with pytest.raises(ValueError, match="'--all' is not a revision"):
        compare(checkout, config, '--all')
    with pytest.raises(ValueError, match='the step of before fails: ValueError: no such step'):
        compare(checkout, config, 'before', '--broken')
    with pytest.raises(ValueError, match=r'none\.py'):
        compare(checkout, 'none.py')
    with pytest.raises(ValueError, match='needs a git checkout'):
        compare(tmp_path_factory.mktemp('elsewhere'), config)

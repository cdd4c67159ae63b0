"""Installation: what setup.py, the pinned set, the Makefile and the scripts say must agree."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from mmengine.fileio import load
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import poa_mm
from poa_mm.compat import DISTRIBUTIONS

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ('3.10', '3.11', '3.12', '3.13')
OWN = {'poa_mm', 'benchmarks', 'examples', 'tests'}


def setup_arguments() -> dict:
    """What setup.py passes to ``setup``."""
    code = 'import setuptools, runpy; setuptools.setup = lambda cmdclass, **a: print(a); runpy.run_path("setup.py")'
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout)


def requirements(*extras: str) -> list[Requirement]:
    arguments = setup_arguments()
    lines = list(arguments['install_requires'])
    for extra in extras or arguments['extras_require']:
        lines += arguments['extras_require'][extra]
    return [Requirement(line) for line in lines]


def pins(python: str) -> dict[str, str]:
    """Name and version of every package pinned for a Python on Linux."""
    environment = dict(python_version=python, python_full_version=f'{python}.1', sys_platform='linux')
    found = {}
    for line in (ROOT / 'requirements/constraints.txt').read_text().splitlines():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (pin,) = requirement.specifier
            assert pin.operator == '==', line
            assert found.setdefault(canonicalize_name(requirement.name), pin.version) == pin.version
    return found


def tracked_files() -> list[Path]:
    if shutil.which('git') is None or not (ROOT / '.git').exists():
        pytest.skip('not a git checkout')
    names = subprocess.check_output(['git', 'ls-files', '-z'], cwd=ROOT, text=True)
    return [ROOT / name for name in names.split('\0') if name and (ROOT / name).is_file()]


def test_one_version():
    assert setup_arguments()['version'] == poa_mm.__version__
    newest = re.search(r'^## (\S+)', (ROOT / 'CHANGELOG.md').read_text(), re.M)
    assert newest.group(1) == poa_mm.__version__


@pytest.mark.parametrize('python', PYTHONS)
def test_pins_meet_the_requirements(python):
    pinned = pins(python)
    for requirement in requirements():
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])
    assert pinned['torch'] == '2.11.0' and pinned['torchvision'] == '0.26.0'


def test_a_plain_install_leaves_openmmlab_alone():
    names = {Requirement(line).name for line in setup_arguments()['install_requires']}
    assert not {name for name in names if re.match(r'onedl|mm|opencv', name)}


def test_every_import_is_declared():
    declared = {canonicalize_name(requirement.name) for requirement in requirements()}
    unknown = {}
    for path in [*ROOT.glob('poa_mm/**/*.py'), *ROOT.glob('tools/*.py'), *ROOT.glob('tests/**/*.py')]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            else:
                continue
            for name in {name.partition('.')[0] for name in names} - sys.stdlib_module_names:
                distribution = canonicalize_name(DISTRIBUTIONS.get(name, name))
                own = name in OWN or (path.parent / f'{name}.py').exists()
                if not own and distribution not in declared:
                    unknown[name] = path.name
    assert not unknown


def test_no_machine_in_the_repository():
    # Put together here, so that this file does not hold what it looks for.
    places = [f'/{name}/' for name in ('work', 'root', 'home')]
    indexes = ['--index' + '-url', '--extra-index' + '-url', '--find' + '-links', 'file:' + '///']
    for path in tracked_files():
        if path.suffix in ('.png', '.jpg', '.npz'):
            continue
        text = path.read_text()
        for word in places + indexes:
            assert word not in text, f'{path} holds {word}'


def test_files_are_small():
    assert not [path for path in tracked_files() if path.stat().st_size > 1_000_000]


def test_make_targets():
    text = (ROOT / 'Makefile').read_text()
    for target in ('help', 'env', 'demo', 'test', 'lint', 'clean'):
        assert re.search(rf'^{target}:.*## ', text, re.M), target
    done = subprocess.run(['make', 'help'], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 'make demo' in done.stdout


@pytest.mark.parametrize('python', ['no-such-python', 'old-python'])
def test_make_refuses_another_python(python, tmp_path):
    old = tmp_path / 'old-python'
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.18 && exit\nexit 1\n')
    old.chmod(0o755)
    env = os.environ | {'PATH': f'{tmp_path}:{os.environ["PATH"]}'}
    command = ['make', 'env', f'PYTHON={python}', f'VENV={tmp_path}/venv']
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode != 0
    assert 'poa_mm needs Python 3.10 to 3.13' in done.stderr
    assert not (tmp_path / 'venv').exists()


def test_continuous_integration_runs_what_the_readme_says():
    commands = (ROOT / '.ci/run').read_text()
    assert 'make lint' in commands and 'make test' in commands
    assert os.access(ROOT / '.ci/run', os.X_OK)
    assert 'make test' in (ROOT / 'README.md').read_text()


SCRIPTS = sorted(ROOT.glob('tools/*.sh')) + [ROOT / 'requirements/install.sh']


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_scripts(script):
    subprocess.run(['bash', '-n', script], check=True)
    assert os.access(script, os.X_OK)
    done = subprocess.run([script], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stderr.startswith('usage:') and script.name in done.stderr


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """Runs Python outside the checkout with the wheel's files first on the path."""
    folder = tmp_path_factory.mktemp('wheel')
    for path in tracked_files():
        target = folder / 'source' / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    build = [sys.executable, 'setup.py', '-q', 'bdist_wheel', '-d', str(folder / 'dist')]
    subprocess.run(build, cwd=folder / 'source', check=True, capture_output=True)
    (wheel,) = (folder / 'dist').glob('poa_mm-*-py3-none-any.whl')
    zipfile.ZipFile(wheel).extractall(folder / 'site')
    shutil.rmtree(folder / 'source')
    elsewhere = folder / 'elsewhere'
    elsewhere.mkdir()
    env = os.environ | {'PYTHONPATH': str(folder / 'site'), 'OMP_NUM_THREADS': '1'}

    def run(*arguments):
        done = subprocess.run([sys.executable, *arguments], cwd=elsewhere, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    run.site = folder / 'site'
    return run


def test_wheel_holds_what_mim_looks_for(installed):
    package = installed.site / 'poa_mm'
    assert installed('-c', 'import poa_mm; print(poa_mm.__file__)').strip() == str(package / '__init__.py')
    for metafile in load(package / '.mim/model-index.yml')['Import']:
        for model in load(package / '.mim' / metafile)['Models']:
            assert (package / '.mim' / model['Config']).is_file()
    assert (package / '.mim/tools/train.py').is_file() and (package / '.mim/tools/dist_train.sh').is_file()
    assert not list((installed.site).glob('tests*')) and not list((installed.site).glob('benchmarks*'))


def test_wheel_trains_extracts_and_compares(installed):
    tiny = ['steps=2', 'model.backbone.widths=(32,64,32)']
    installed('-m', 'poa_mm', 'train', 'poa_demo', '--work-dir', 'run', '--cfg-options', *tiny)
    installed('-m', 'poa_mm', 'extract', 'run/iter_2.pth', '--out', 'subnets', '--subnets', 'smallest')
    images = ['knn.train.num_samples=40', 'knn.val.num_samples=16', 'knn.ks=(5,)']
    printed = installed('-m', 'poa_mm', 'knn', 'run/iter_2.pth', 'subnets/32x2.pth', '--cfg-options', *images)
    assert 'on 16 images' in printed

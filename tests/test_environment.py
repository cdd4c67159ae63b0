import os
import platform
import subprocess
import sys

import pytest

from poa_mm.environment import set_environment

NAMES = (
    'PYTORCH_ALLOC_CONF',
    'PYTORCH_CUDA_ALLOC_CONF',
    'TORCHINDUCTOR_CACHE_DIR',
    'OMP_WAIT_POLICY',
    'GOMP_SPINCOUNT',
)


def test_set_unless_set(monkeypatch, tmp_path):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    set_environment()
    assert os.environ['PYTORCH_CUDA_ALLOC_CONF'] == 'expandable_segments:True'
    assert os.environ['TORCHINDUCTOR_CACHE_DIR'] == str(tmp_path / 'poa_mm' / 'inductor')
    assert os.environ['GOMP_SPINCOUNT'] == '1000'
    for name in NAMES:
        monkeypatch.setenv(name, 'mine')
    set_environment()
    assert all(os.environ[name] == 'mine' for name in NAMES)
    for name in ('PYTORCH_CUDA_ALLOC_CONF', 'GOMP_SPINCOUNT'):
        monkeypatch.delenv(name)
        set_environment()
        assert name not in os.environ  # the older name, or a policy that is set, would be contradicted


def test_before_pytorch_is_imported():
    code = "import sys, poa_mm.commands.train as t; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0


FAULTS = """
import ctypes, resource
from poa_mm.environment import set_environment

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(ctypes.c_size_t(size))
    libc.memset(ctypes.c_void_p(block), 1, ctypes.c_size_t(size))
    libc.free(ctypes.c_void_p(block))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

libc, size = ctypes.CDLL(None), 2**26
libc.malloc.restype = ctypes.c_void_p
set_environment()
print(faults(), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='sets how glibc keeps memory')
@pytest.mark.parametrize('variable', [None, 'MALLOC_TRIM_THRESHOLD_'])
def test_freed_memory_is_used_again(variable):
    environment = {name: value for name, value in os.environ.items() if not name.startswith('MALLOC_')}
    if variable:
        environment[variable] = '131072'  # glibc's default
    out = subprocess.run([sys.executable, '-c', FAULTS], env=environment, stdout=subprocess.PIPE, check=True).stdout
    first, second = map(int, out.split())
    assert (second < first / 4) == (variable is None)

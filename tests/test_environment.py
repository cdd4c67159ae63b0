import os
import subprocess
import sys

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

import os
import subprocess
import sys

from poa_mm.environment import set_environment

NAMES = ('PYTORCH_ALLOC_CONF', 'PYTORCH_CUDA_ALLOC_CONF', 'TORCHINDUCTOR_CACHE_DIR')


def test_set_unless_set(monkeypatch, tmp_path):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    set_environment()
    assert os.environ['PYTORCH_CUDA_ALLOC_CONF'] == 'expandable_segments:True'
    assert os.environ['TORCHINDUCTOR_CACHE_DIR'] == str(tmp_path / 'poa_mm' / 'inductor')
    for name in NAMES:
        monkeypatch.setenv(name, 'mine')
    set_environment()
    assert all(os.environ[name] == 'mine' for name in NAMES)
    monkeypatch.delenv('PYTORCH_CUDA_ALLOC_CONF')
    set_environment()
    assert 'PYTORCH_CUDA_ALLOC_CONF' not in os.environ  # two settings would contradict each other


def test_before_pytorch_is_imported():
    code = "import sys, poa_mm.commands.train as t; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0

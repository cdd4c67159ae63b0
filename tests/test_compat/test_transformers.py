"""mmpretrain can be imported beside transformers 5, whose functions its language models miss."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# As transformers 5: what mmpretrain imports is not there.
FAKE = 'def __getattr__(name):\n    raise AttributeError(name)\n'


@pytest.mark.parametrize(('version', 'fails'), [('5.0.0', False), ('4.57.6', True)])
def test_language_models_are_left_out_only_with_transformers_5(tmp_path, version, fails):
    """The fake package lacks everything, so with the version 4 on its label the import must fail."""
    (tmp_path / 'transformers').mkdir()
    (tmp_path / 'transformers/__init__.py').write_text(FAKE)
    info = tmp_path / f'transformers-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: transformers\nVersion: {version}\n')
    code = (
        'import poa_mm.models\n'
        'from mmpretrain.registry import MODELS\n'
        "print(MODELS.get('VisionTransformer').__name__, MODELS.get('BlipCaption').__name__)\n"
    )
    env = dict(os.environ, PYTHONPATH=f'{tmp_path}:{ROOT}')
    done = subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True, timeout=240)
    if fails:
        assert done.returncode == 1 and done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-2:] == ['VisionTransformer', 'ask_install']

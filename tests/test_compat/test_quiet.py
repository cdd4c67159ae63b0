import logging
import os
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest
from mmengine.logging import MMLogger, print_log

from poa_mm.compat import quiet
from poa_mm.compat.quiet import QuietFinder

ROOT = Path(__file__).resolve().parents[2]
TALKATIVE = """
import logging, warnings
from mmengine.logging import MMLogger, print_log
MMLogger.get_instance('quiet_test').warning('while importing')
warnings.warn('while importing')
print_log('while importing')
"""


def test_silent_while_importing_and_not_after(tmp_path, monkeypatch, capfd):
    (tmp_path / 'talkative.py').write_text(TALKATIVE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(quiet, 'TALKATIVE', {'talkative'})
    monkeypatch.setattr(sys, 'meta_path', [QuietFinder(), *sys.meta_path])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        import_module('talkative')
        warnings.warn('later', stacklevel=1)
    assert [str(w.message) for w in caught] == ['later']
    print_log('later', logger=MMLogger.get_instance('quiet_test'), level=logging.WARNING)
    print_log('printed')
    out, err = capfd.readouterr()
    assert 'while importing' not in out + err and 'later' in out + err and 'printed' in out


def test_errors_are_raised(tmp_path, monkeypatch):
    (tmp_path / 'broken.py').write_text('import nowhere_to_be_found')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(quiet, 'TALKATIVE', {'broken'})
    monkeypatch.setattr(sys, 'meta_path', [QuietFinder(), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match='nowhere_to_be_found'):
        import_module('broken')
    assert logging.root.manager.disable == logging.NOTSET


def test_toolboxes_are_imported_without_a_word():
    code = 'import poa_mm, mmpretrain.apis, mmdet.apis, mmseg.apis, poa_mm.models, poa_mm.datasets.coco'
    env = dict(os.environ, PYTHONPATH=str(ROOT), CUDA_VISIBLE_DEVICES='-1')
    done = subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')

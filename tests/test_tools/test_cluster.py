"""The command line ``tools/cluster.py``."""

import json
import runpy
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'cluster.py'
CONFIG = """
model = dict(
    type='POA',
    backbone=dict(
        type='ElasticVisionTransformer', img_size=16, patch_size=8, widths=(16, 32, 8), depths=(2, 4), head_dim=8))
randomness = dict(seed=4)
knn = dict(
    train=dict(type='DemoDataset', split='train', num_samples=8, image_size=24),
    val=dict(type='DemoDataset', split='val', num_samples=32, image_size=24))
"""


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['cluster.py', 'tiny.py', *arguments, '--workers', '0', '--out', 'out.json'])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_table_and_json(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('tiny.py').write_text(CONFIG)
    run(monkeypatch, '--untrained', '--thumbnails', '--subnets', '16x2', 'intact', '--restarts', '2')
    record = json.loads(Path('out.json').read_text())
    assert [r['name'] for r in record['results']] == ['16x2', '32x4', '8x8 pixels']
    assert record['protocol']['clusters'] == 8 and record['protocol']['restarts'] == 2
    assert all(0 < r['nmi'] <= 100 for r in record['results'])
    text = capsys.readouterr().out
    assert '| untrained' in text and record['summary'] in text
    with pytest.raises(SystemExit):
        run(monkeypatch, '--untrained', '--clusters', '40')
    assert 'clusters must be from 2 to the number of images, 32, got 40' in capsys.readouterr().err

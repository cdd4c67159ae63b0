"""The command line ``poa cluster``."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poa_mm.commands import main
from poa_mm.reporting.report import report
from tests.helpers.networks import VIT

CONFIG = f"""
model = dict(
    type='POA',
    backbone={VIT})
randomness = dict(seed=4)
knn = dict(
    train=dict(type='DemoDataset', split='train', num_samples=8, image_size=24),
    val=dict(type='DemoDataset', split='val', num_samples=32, image_size=24))
"""


def run(*arguments):
    main(['cluster', 'tiny.py', *arguments, '--workers', '0', '--out', 'out.json'])


def test_table_and_json(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('tiny.py').write_text(CONFIG)
    run('--untrained', '--thumbnails', '--subnets', '16x2', 'intact', '--restarts', '2')
    record = json.loads(Path('out.json').read_text())
    assert [r['name'] for r in record['results']] == ['16x2', '32x4', '8x8 pixels']
    assert record['protocol']['clusters'] == 8 and record['protocol']['restarts'] == 2
    assert all(0 < r['nmi'] <= 100 for r in record['results'])
    text = capsys.readouterr().out
    assert '| untrained' in text and record['summary'] in text
    assert list(record['data']) == ['val', 'unreadable']
    with pytest.raises(SystemExit):
        run('--untrained', '--clusters', '40')
    assert 'clusters must be from 2 to the number of images, 32, got 40' in capsys.readouterr().err


def test_raw_features(tmp_path, monkeypatch):
    """The authors' program clusters features as they are; thumbnails of other brightness then differ."""
    monkeypatch.chdir(tmp_path)
    Path('tiny.py').write_text(CONFIG)
    found = []
    for options in ((), ('--raw',)):
        run('--thumbnails', *options)
        found.append(json.loads(Path('out.json').read_text()))
    assert [record['protocol']['normalize'] for record in found] == [True, False]
    assert found[0]['results'] != found[1]['results']


def test_validation_images_are_enough(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('tiny.py').write_text(CONFIG)
    rng = np.random.default_rng(0)
    for name in ('dark', 'light'):
        folder = tmp_path / 'val' / name
        folder.mkdir(parents=True)
        for i in range(3):
            Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(folder / f'{i}.png')
    run('--untrained', '--subnets', '16x2', '--val', 'val')
    record = json.loads(Path('out.json').read_text())
    assert record['protocol']['clusters'] == 2 and record['data']['val']['images'] == 6
    assert 'train' not in record['data'] and 'Measured on ImageFolder val** (6 images)' in report([record])
    with pytest.raises(SystemExit):
        run('--untrained', '--train', 'val')
    assert 'train and val of cluster go together' in capsys.readouterr().err

"""The command lines ``poa knn`` and ``poa report``, in one process and in two."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from poa_mm.commands import main
from poa_mm.registry import MODELS
from tests.helpers.networks import VIT
from tests.helpers.processes import command_in_processes

CONFIG = f"""
model = dict(
    type='POA',
    backbone={VIT})
randomness = dict(seed=4)
knn = dict(
    train=dict(type='DemoDataset', split='train', num_samples=24, image_size=24),
    val=dict(type='DemoDataset', split='val', num_samples=16, image_size=24),
    ks=(3, 9))
"""


@pytest.fixture
def place(tmp_path):
    """A config, a checkpoint of it, and two folders of images, one of them unreadable."""
    (tmp_path / 'tiny.py').write_text(CONFIG)
    cfg = Config.fromfile(tmp_path / 'tiny.py')
    torch.manual_seed(0)
    backbone = MODELS.build(cfg.model.backbone)
    for parameter in backbone.parameters():  # else all features are alike, and rounding decides
        parameter.data += 0.2 * torch.randn_like(parameter)
    weights = {f'teacher.backbone.{k}': v for k, v in backbone.state_dict().items()}
    meta = dict(cfg=cfg.pretty_text, iter=5, seed=4)
    torch.save(dict(meta=meta, state_dict=weights), tmp_path / 'iter_5.pth')
    rng = np.random.default_rng(0)
    for split, number in (('train', 9), ('val', 4)):
        for label, name in enumerate(('dark', 'light')):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i in range(number):
                pixels = rng.integers(20 * label, 20 * label + 200, (20, 22, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f'{i}.png')
    (tmp_path / 'train' / 'dark' / '4.png').write_bytes(b'broken')
    return tmp_path


def run(monkeypatch, place, command, *arguments):
    monkeypatch.chdir(place)
    main([command, *map(str, arguments)])


def test_table_json_and_report(place, monkeypatch, capsys):
    networks = ['--subnets', 'named', '24x3', '--untrained', '--thumbnails']
    run(monkeypatch, place, 'knn', 'tiny.py', 'iter_5.pth', *networks, '--workers', 0, '--out', 'out/knn.json')
    table = capsys.readouterr().out
    record = json.loads((place / 'out/knn.json').read_text())
    assert [(r['kind'], r.get('subnet')) for r in record['results']] == [
        *(('pretrained', s) for s in ('16x2', '32x4', '24x3')),
        *(('untrained', s) for s in ('16x2', '32x4', '24x3')),
        ('thumbnails', None),
    ]
    settings = dict(ks=[3, 9], resize=18, crop=16, temperature=0.07, at_a_time=None, interpolation='bicubic')
    assert record['protocol'] == dict(name='knn', **settings, amp=False)
    assert (record['checkpoint'], record['iteration'], record['untrained_seed']) == ('iter_5.pth', 5, 4)
    assert record['data']['train'] == dict(source='DemoDataset', images=24)
    assert record['data']['unreadable'] == [] and 'torch' in record['versions']
    assert all(r['best'] == max(r['accuracy'].values()) for r in record['results'])
    assert table.count('pretrained') == 4 and record['summary'] in table

    run(monkeypatch, place, 'knn', 'tiny.py', 'iter_5.pth', *networks, '--at-a-time', 3, '--out', 'parts.json')
    assert json.loads((place / 'parts.json').read_text())['results'] == record['results']

    run(monkeypatch, place, 'report', 'out/knn.json', '--single', 'out/knn.json', '--out', 'report')
    assert sorted(p.name for p in (place / 'report').iterdir()) == [
        'heat_map.png',
        'knn.md',
        'report.md',
        'size_curve.png',
    ]
    tables = (place / 'report/knn.md').read_text()
    assert tables.count('| trained alone') == 3 and tables.count(record['summary']) == 2  # one above each file's

    for result in record['results'][:-1]:
        result.update(family='ResNet', depth=[result['depth'], 1])
    (place / 'out/resnet.json').write_text(json.dumps(record))
    run(monkeypatch, place, 'report', 'out', '--out', 'both')
    assert {p.name for p in (place / 'both').iterdir()} == {
        *(f'{kind}_{family}.png' for kind in ('heat_map', 'size_curve') for family in ('ResNet', 'VisionTransformer')),
        'knn.md',
        'report.md',
    }


def test_two_processes_equal_one(place, monkeypatch):
    arguments = ['tiny.py', 'iter_5.pth', '--subnets', 'all', '--thumbnails', '--train', 'train', '--val', 'val']
    arguments += ['--k', '3', '17', '--workers', '0', '--batch-size', '3', '--resize', '20']
    run(monkeypatch, place, 'knn', *arguments, '--out', 'one.json')
    printed = command_in_processes(2, place, 'knn', *arguments, '--out', 'two.json')
    one, two = (json.loads((place / name).read_text()) for name in ('one.json', 'two.json'))
    assert two['processes'] == 2 and [text.count('k-NN of iter_5.pth') for text in printed] == [1, 0]
    assert one['results'] == two['results'] and len(one['results']) == 10
    assert len({str(result['accuracy']) for result in one['results']}) > 3
    assert one['data'] == two['data'] and len(one['data']['unreadable']) == 1
    assert 'train/dark/4.png' in one['data']['unreadable'][0]


def test_extracted_files_equal_their_checkpoint(place, monkeypatch):
    """Also without a config: the data come from the command line."""
    run(monkeypatch, place, 'extract', 'iter_5.pth', '--subnets', '16x2', '24x3', '--out', 'subnets')
    data = ['--train', 'train', '--val', 'val', '--k', 3, '--workers', 0]
    run(monkeypatch, place, 'knn', 'iter_5.pth', '--subnets', '16x2', '24x3', *data, '--out', 'whole.json')
    run(monkeypatch, place, 'knn', 'subnets/16x2.pth', 'subnets/24x3.pth', *data, '--out', 'cut.json')
    whole, cut = (json.loads((place / name).read_text()) for name in ('whole.json', 'cut.json'))
    assert [r['accuracy'] for r in whole['results']] == [r['accuracy'] for r in cut['results']]
    assert [r['kind'] for r in cut['results']] == ['extracted'] * 2
    assert cut['results'][1]['file'] == 'subnets/24x3.pth' and cut['files'][1]['checkpoint'] == 'iter_5.pth'
    assert cut['protocol'] == whole['protocol'] and cut['protocol']['crop'] == 16
    run(monkeypatch, place, 'report', 'cut.json', '--out', 'report')
    assert sorted(p.name for p in (place / 'report').iterdir()) == ['knn.md', 'report.md', 'size_curve.png']


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['nowhere.py'], "config 'nowhere.py' does not exist"),
        (['tiny.py'], 'nothing to compare: give a checkpoint (--help'),
        (['tiny.py', 'no.pth'], "checkpoint 'no.pth' does not exist"),
        (['tiny.py', 'iter_5.pth', '--subnets', '20x2'], 'sub-network 20x2 is not in this space; allowed are'),
        (['tiny.py', 'iter_5.pth', '--k', '25'], 'k must be from 1 to the size of the gallery (24 images)'),
        (['tiny.py', 'iter_5.pth', '--train', 'train'], 'train and val of knn go together'),
        (['tiny.py', 'iter_5.pth', '--train', 'a', '--val', 'b'], "data folder 'a' does not exist"),
        (['tiny.py', 'iter_5.pth', '--crop', '20'], 'image size 20 x 20 is not a multiple of patch_size 8'),
        (['tiny.py', 'tiny.py', 'iter_5.pth'], 'at most one config can be given, got tiny.py, tiny.py'),
        (['iter_5.pth', 'iter_5.pth'], 'a file is given twice'),
        (['iter_5.pth', '--seed', '4294967296'], 'argument --seed: must be an integer from 0 to 2^32 - 1'),
        (['iter_5.pth', '--seed', '9' * 400], 'argument --seed: must be an integer from 0 to 2^32 - 1'),
        (['iter_5.pth', '--seed', '1.5'], 'argument --seed: must be an integer from 0 to 2^32 - 1'),
        (['tiny.py', '--untrained', '--cfg-options', 'knn.kk=3'], "unknown keys ['kk']"),
        (['tiny.py', 'iter_5.pth', '--cfg-options', 'model.backbone.depths="(2,3)"'], 'of another space'),
        (['iter_5.pth', '--cfg-options', 'knnn.crop=16'], "knnn.crop: the config has no 'knnn'; near are knn"),
        (['iter_5.pth', '--cfg-options', 'a.b=3'], "--cfg-options a.b: the config has no 'a'"),
        (['iter_5.pth', '--cfg-options', 'launcher=mpi'], '--cfg-options takes no launcher: give --launcher'),
        (['iter_5.pth', '--cfg-options', 'train_cfg.max_iters=3'], '--cfg-options train_cfg needs a config'),
        (['iter_5.pth', '--cfg-options', 'model=3'], 'model must be a dict, got 3'),
        (['iter_5.pth', '--cfg-options', 'randomness=3'], 'randomness must be a dict, got 3'),
        (['iter_5.pth', '--cfg-options', 'randomness.seed=x'], 'randomness.seed must be an integer from 0'),
    ],
)
def test_errors_are_one_line(place, monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, place, 'knn', *arguments, '--workers', 0)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_report_of_something_else(place, monkeypatch, capsys):
    (place / 'x.json').write_text('{"protocol": 1}')
    with pytest.raises(SystemExit):
        run(monkeypatch, place, 'report', 'x.json', '--out', 'report')
    assert 'x.json is not a result of a protocol' in capsys.readouterr().err.splitlines()[-1]

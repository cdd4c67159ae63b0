"""poa select on a checkpoint: by accuracies, by similarity, by time; mistakes."""

import json
import shlex

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from poa_mm.commands import main
from poa_mm.extraction import build_backbone
from tests.helpers.networks import VIT

MODEL = dict(
    type='POA',
    backbone={**VIT, 'img_size': 32, 'depths': (1, 3)},
)


@pytest.fixture
def checkpoint(tmp_path):
    cfg = Config(dict(model=MODEL))
    weights = {f'teacher.backbone.{k}': v for k, v in build_backbone(cfg).state_dict().items()}
    meta = dict(cfg=cfg.pretty_text, iter=5, seed=0)
    torch.save(dict(meta=meta, state_dict=weights), tmp_path / 'iter_5.pth')
    return tmp_path / 'iter_5.pth'


@pytest.fixture
def results(tmp_path):
    entries = [
        dict(kind='pretrained', subnet=f'{width}x{depth}', accuracy={}, best=40 + width / 2 + depth + 4 * (width == 24))
        for width in (16, 24, 32)
        for depth in (1, 2, 3)
    ]
    path = tmp_path / 'knn.json'
    path.write_text(
        json.dumps(dict(protocol=dict(name='knn'), data=dict(val=dict(source='x', images=9)), results=entries))
    )
    return path


def test_by_accuracy(checkpoint, results, tmp_path, capsys):
    out = tmp_path / 'out'
    main(['select', str(checkpoint), '--max-params', '0.02M', '--results', str(results), '--out', str(out)])
    printed = capsys.readouterr().out
    # 24x2 has 19,656 parameters, 24x3 26,928.
    assert f'24x2 of 9 sub-networks: poa extract {checkpoint} --subnets 24x2 --out subnets' in printed
    assert (out / 'select.md').read_text() in printed
    assert cv2.imread(str(out / 'select.png')).std() > 5


def test_by_time_and_similarity(checkpoint, tmp_path, capsys):
    (tmp_path / 'images').mkdir()
    generator = np.random.default_rng(0)
    for i in range(6):
        cv2.imwrite(str(tmp_path / f'images/{i}.png'), generator.integers(0, 256, (40, 50, 3), dtype=np.uint8))
    main(
        ['select', str(checkpoint), '--max-latency', '10000ms', '--images', str(tmp_path / 'images'), '--threads', '1']
    )
    printed = capsys.readouterr().out
    assert '32x3 of 9 sub-networks' in printed and '100.0' in printed  # the intact one is itself


def test_the_command_repeats_what_was_chosen(checkpoint, results, tmp_path, capsys):
    """Of a file with a student alone, as SEED writes it, without --branch too."""
    contents = torch.load(checkpoint, weights_only=True)
    weights = {name.removeprefix('teacher.'): value for name, value in contents['state_dict'].items()}
    path = tmp_path / "a student's.pth"
    torch.save({**contents, 'state_dict': weights}, path)
    for options in ([], ['--branch', 'student']):
        main(['select', str(path), *options, '--max-params', '0.02M', '--results', str(results)])
        command = capsys.readouterr().out.splitlines()[-1].partition('sub-networks: ')[2]
        expected = ['poa', 'extract', str(path), *options, '--subnets', '24x2', '--out', 'subnets']
        assert shlex.split(command) == expected


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (['--results', 'knn.json'], 'give at least one of --max-params, --max-flops and --max-latency'),
        (['--max-params', '1M'], 'one of the arguments --results --images is required'),
        (['--max-params', '30', '--images', 'x'], 'must be a number and M or G, such as 8M'),
        (['--max-latency', '1M', '--images', 'x'], 'must be a number and ms'),
        (['--max-params', '1M', '--images', 'nowhere'], "folder of images 'nowhere' does not exist"),
        (['--max-params', '1M', '--results', 'nowhere.json'], 'does not exist'),
        (['--max-flops', '1e-9G', '--results', 'knn.json'], 'no sub-network fits the limits; the smallest is 16x1'),
        (['--max-flops', '1G', '--results', 'knn.json', '--device', 'cuda'], 'finds no GPU'),
        (['--max-flops', '1G', '--results', 'knn.json', '--image-size', '7'], 'the image size 7 must be a multiple'),
    ],
)
def test_mistakes(options, sentence, checkpoint, results, monkeypatch, capsys):
    monkeypatch.chdir(checkpoint.parent)
    with pytest.raises(SystemExit) as stop:
        main(['select', str(checkpoint), *options])
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err

"""The command line ``poa extract``."""

import json

import pytest
import torch
from mmengine.config import Config

from poa_mm.commands import main
from poa_mm.registry import MODELS
from tests.helpers.networks import VIT


@pytest.fixture
def checkpoint(tmp_path):
    backbone = MODELS.build(VIT)
    torch.save(
        dict(
            meta=dict(cfg=Config(dict(model=dict(backbone=VIT))).pretty_text, iter=5),
            state_dict={f'teacher.backbone.{k}': v for k, v in backbone.state_dict().items()},
        ),
        tmp_path / 'iter_5.pth',
    )
    return tmp_path / 'iter_5.pth'


def extract(*arguments):
    main(['extract', *map(str, arguments)])


def test_extract(checkpoint, tmp_path, capsys):
    extract(checkpoint, '--subnets', '24x3', 'named', '--out', tmp_path / 'out')
    files = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert files == ['16x2.pth', '16x2.py', '24x3.pth', '24x3.py', '32x4.pth', '32x4.py']
    table = capsys.readouterr().out
    params = torch.load(tmp_path / 'out' / '24x3.pth', weights_only=True)['meta']['num_params']
    assert any('24x3.pth' in line and f'{params:,}' in line for line in table.splitlines())
    assert f'3 sub-networks from the teacher of {checkpoint}, iteration 5' in table

    extract(checkpoint, '--subnets', 'all', '--out', tmp_path / 'all')
    assert len(list((tmp_path / 'all').glob('*.pth'))) == 9


@pytest.mark.parametrize('toolbox', ['mmdet', 'mmseg'])
def test_format(checkpoint, tmp_path, capsys, toolbox):
    extract(checkpoint, '--subnets', 'intact', '--format', toolbox, '--out', tmp_path / toolbox)
    cfg = Config.fromfile(tmp_path / toolbox / '32x4.py').backbone
    assert cfg.out_indices == [0, 1, 2, 3] and cfg.init_cfg.checkpoint == str(tmp_path / toolbox / '32x4.pth')
    saved = torch.load(tmp_path / toolbox / '32x4.pth', weights_only=True)
    assert not any(name.startswith('ln1') for name in saved['state_dict'])
    assert f'{saved["meta"]["num_params"]:,}' in capsys.readouterr().out


def knn_record(**changes):
    result = dict(kind='pretrained', subnet='24x3', accuracy={'10': 61.5}, best=61.5)
    record = dict(protocol=dict(name='knn'), branch='teacher', iteration=5, seed=None, results=[result])
    return {**record, 'data': dict(val=dict(source='ImageFolder pets', images=100)), **changes}


def test_folders_with_a_card(checkpoint, tmp_path, capsys, monkeypatch):
    pushed = []
    monkeypatch.setattr('poa_mm.extraction.targets.hub.push_folder', lambda *given: pushed.append(given) or 'https://x')
    results = tmp_path / 'knn.json'
    results.write_text(json.dumps(knn_record()))
    options = ('--format', 'safetensors', '--image-size', 32, '--results', results, '--push', 'me/vit')
    extract(checkpoint, '--subnets', '24x3', '--out', tmp_path / 'out', *options)
    folder = tmp_path / 'out' / '24x3'
    assert sorted(path.name for path in folder.iterdir()) == ['README.md', 'model.safetensors']
    card = (folder / 'README.md').read_text()
    assert '`ImageFolder pets, 100 images` | accuracy (%), k = 10 | 61.50' in card and '32 x 32' in card
    assert pushed == [(folder, 'me/vit')] and 'pushed to https://x' in capsys.readouterr().out


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(iteration=6), 'measured on another checkpoint: iteration 6, but the network has 5'),
        (dict(results=[]), 'the result file has no network 24x3'),
    ],
)
def test_results_of_another_network(checkpoint, tmp_path, capsys, changes, message):
    (tmp_path / 'knn.json').write_text(json.dumps(knn_record(**changes)))
    with pytest.raises(SystemExit):
        extract(
            checkpoint,
            '--subnets',
            '24x3',
            '--out',
            tmp_path / 'out',
            '--format',
            'safetensors',
            '--results',
            tmp_path / 'knn.json',
        )
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    'arguments, message',
    [
        (
            ['--format', 'mmpose'],
            "format must be one of ['mmpretrain', 'mmdet', 'mmseg', 'timm', 'transformers', 'onnx', 'torch.export', ",
        ),
        (['--format', 'timm', '--maps'], '--format timm has no option --maps, only --image-size'),
        (
            ['--push', 'me/vit', '--any-size'],
            '--any-size, --push: only for --format timm, transformers, onnx, torch.export or safetensors',
        ),
        (['--format', 'timm', '--push', 'me/vit'], 'a repository holds one network: --push needs one of --subnets'),
        (['--format', 'timm', '--results', 'nowhere.json'], "result file 'nowhere.json' does not exist"),
        (['--format', 'mmdet', '--subnets', '16x2'], 'a ViT with 2 blocks has too few maps'),
        (['--subnets', 'S'], "unknown sub-network 'S'; allowed are widths 16, 24, 32; depths 2 to 4"),
        (['--config', 'nowhere.py'], "config 'nowhere.py' does not exist"),
        (['--branch', 'student'], 'no weights named backbone.*'),
    ],
)
def test_errors_are_one_line(checkpoint, tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        extract(checkpoint, '--out', tmp_path / 'out', *arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list((tmp_path / 'out').glob('*'))

"""The command line ``poa linear``: at once and in two halves."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from poa_mm.commands import main
from poa_mm.registry import MODELS
from tests.helpers.networks import VIT

CONFIG = f"""
model = dict(
    type='POA',
    backbone={VIT})
randomness = dict(seed=4)
knn = dict(train='train', val='val', ks=(3, 9))
linear = dict(iters=12, total_batch=8, learning_rates=(0.001, 0.1, 0.5))
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A config, a checkpoint of it, and two folders of images, one of them unreadable."""
    monkeypatch.chdir(tmp_path)
    Path('tiny.py').write_text(CONFIG)
    cfg = Config.fromfile('tiny.py')
    torch.manual_seed(0)
    backbone = MODELS.build({'_scope_': 'poa_mm', **cfg.model.backbone})
    for parameter in backbone.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    weights = {f'teacher.backbone.{k}': v for k, v in backbone.state_dict().items()}
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, iter=5, seed=4), state_dict=weights), 'iter_5.pth')
    weights['teacher.backbone.ln1.bias'] = weights['teacher.backbone.ln1.bias'] + 1
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, iter=9, seed=4), state_dict=weights), 'iter_9.pth')
    weights['teacher.backbone.ln1.bias'] = weights['teacher.backbone.ln1.bias'] * float('nan')
    torch.save(dict(meta=dict(cfg=cfg.pretty_text, iter=5, seed=4), state_dict=weights), 'broken.pth')
    rng = np.random.default_rng(0)
    for split, number in (('train', 9), ('val', 5)):
        for label, name in enumerate(('dark', 'light')):
            folder = Path(split, name)
            folder.mkdir(parents=True)
            for i in range(number):
                pixels = rng.integers(20 * label, 20 * label + 200, (20, 22, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f'{i}.png')
    Path('train/dark/4.png').write_bytes(b'broken')
    return tmp_path


def run(*arguments):
    main(['linear', *map(str, arguments), '--workers', '0'])
    return json.loads(Path(arguments[arguments.index('--out') + 1]).read_text())


def test_result_and_resume(place, monkeypatch, capsys):
    common = ['tiny.py', 'iter_5.pth', '--subnets', '16x2', 'intact', '--untrained']
    whole = run(*common, '--save', 'whole.pth', '--out', 'whole.json')
    assert whole['summary'] in capsys.readouterr().out
    assert [(r['kind'], r['subnet']) for r in whole['results']] == [
        (kind, subnet) for kind in ('pretrained', 'untrained') for subnet in ('16x2', '32x4')
    ]
    for result in whole['results']:
        assert list(result['accuracy']) == ['last', 'all', 'last + mean patch', 'all + mean patch']
        setting = result['best_setting']
        assert result['best'] == result['accuracy'][setting['features']][f'{setting["learning_rate"]:g}']
        assert result['best'] == max(max(row.values()) for row in result['accuracy'].values())
    assert whole['protocol']['iters'] == 12 and whole['protocol']['total_batch'] == 8
    assert len(whole['data']['unreadable']) == 1

    from poa_mm.evaluation import linear_protocol

    # Stopped after the first saving; other work in between must not matter.
    original = linear_protocol.SavedTraining.save
    with monkeypatch.context() as patch:
        patch.setattr(linear_protocol.SavedTraining, 'save', lambda self, *a: original(self, *a) or sys.exit('stopped'))
        with pytest.raises(SystemExit, match='stopped'):
            run(*common, '--save', 'half.pth', '--save-interval', 5, '--out', 'half.json')
    assert torch.load('half.pth')['step'] == 5
    torch.manual_seed(99)
    half = run(*common, '--save', 'half.pth', '--resume', '--out', 'half.json')
    assert half['results'] == whole['results']
    one, two = torch.load('whole.pth'), torch.load('half.pth')
    assert one['best'].keys() == two['best'].keys() == {f'{r["kind"]} {r["name"]}' for r in whole['results']}
    for name, grid in one['grids'].items():
        assert all(torch.equal(weight, two['grids'][name][key]) for key, weight in grid.items())

    with pytest.raises(SystemExit):
        run(*common, '--save', 'half.pth', '--resume', '--iters', 20, '--out', 'x.json')
    assert 'half.pth was saved with iters 12, not 20' in capsys.readouterr().err.splitlines()[-1]
    with pytest.raises(SystemExit):
        run(*common, '--save', 'half.pth', '--resume', '--features', 'all', '--out', 'x.json')
    expected = "half.pth was saved with features ['last', 'all', 'last + mean patch', 'all + mean patch'], not ['all']"
    assert expected in capsys.readouterr().err.splitlines()[-1]


def test_classifiers_belong_to_weights_and_classes(place, capsys):
    """The checkpoint may be moved; a file of the same name with other weights is another checkpoint."""
    few = ['--subnets', '16x2', '--iters', 2, '--features', 'last', '--save', 'probes.pth', '--out', 'out.json']
    before = run('tiny.py', 'iter_5.pth', *few)
    Path('moved').mkdir()
    Path('iter_5.pth').rename('moved/renamed.pth')
    assert run('tiny.py', 'moved/renamed.pth', *few, '--resume')['results'] == before['results']
    Path('iter_9.pth').rename('iter_5.pth')
    judge = ['--classifiers', 'probes.pth', '--subnets', '16x2', '--ratios', '0', '--grids', '1']
    main(['robustness', 'tiny.py', 'moved/renamed.pth', *judge, '--workers', '0'])
    for split in ('train', 'val'):
        shutil.copytree(split, f'pale_{split}')
        Path(f'pale_{split}/light').rename(f'pale_{split}/pale')
    shutil.copytree('val', 'three')
    shutil.copytree('val/dark', 'three/other')
    moved, pale = ['tiny.py', 'moved/renamed.pth'], ['--train', 'pale_train', '--val', 'pale_val']
    weights = 'probes.pth was trained on moved/renamed.pth, where pretrained 16x2 has other weights'
    classes = 'probes.pth and the data must have the same classes, but have 2 and'
    for command, message in [
        (['linear', 'tiny.py', 'iter_5.pth', *few, '--resume'], weights),
        (['robustness', 'tiny.py', 'iter_5.pth', *judge], weights),
        (['linear', *moved, *few, '--resume', *pale], f'{classes} 2; for example, only one of them has light, pale'),
        (['robustness', *moved, *judge, '--val', 'three'], f'{classes} 3; for example, only one of them has other'),
    ]:
        with pytest.raises(SystemExit):
            main([*map(str, command), '--workers', '0'])
        assert message in capsys.readouterr().err.splitlines()[-1]


def test_cached_features_and_extracted_file(place):
    main(['extract', 'iter_5.pth', '--subnets', '24x3', '--out', 'subnets'])
    options = ['--cached', '--iters', 40, '--train', 'train', '--val', 'train', '--total-batch', 6]
    whole = run('tiny.py', 'iter_5.pth', '--subnets', '24x3', *options, '--out', 'whole.json')
    cut = run('tiny.py', 'subnets/24x3.pth', *options, '--out', 'cut.json')
    assert cut['results'][0]['accuracy'] == whole['results'][0]['accuracy']
    assert whole['protocol']['cached'] and whole['results'][0]['best'] > 80  # it has seen these very features


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['tiny.py', 'broken.pth'], 'broken.pth is of a run that failed: ln1.bias of the teacher holds NaN'),
        (['tiny.py', 'iter_5.pth', '--resume'], '--resume needs --save FILE.pth'),
        (['tiny.py', 'iter_5.pth', '--save', 'iter_5.pth', '--resume'], 'iter_5.pth holds no classifiers of'),
        (['tiny.py', 'iter_5.pth', '--save', 'iter_5.pth'], 'iter_5.pth holds no classifiers of this version of poa'),
        (['tiny.py', 'iter_5.pth', '--save', 'folder.pth'], 'folder.pth is a folder'),
        (['tiny.py', 'iter_5.pth', '--save', ''], "argument --save: must end in .pth, got ''"),
        (['tiny.py', 'iter_5.pth', '--save', 'tiny.py'], "argument --save: must end in .pth, got 'tiny.py'"),
        (['tiny.py', 'iter_5.pth', '--iters', '0'], 'iters must be at least 1, got 0'),
        (['tiny.py', 'iter_5.pth', '--learning-rates', '0.1', '0'], 'learning rates must be positive'),
        (['tiny.py', 'iter_5.pth', '--learning-rates', '0.1', 'inf'], 'learning rates must be positive, finite'),
        (['tiny.py', 'iter_5.pth', '--learning-rates', 'nan'], 'learning rates must be positive, finite'),
        (['tiny.py', 'iter_5.pth', '--cfg-options', 'linear.k=3'], "linear of tiny.py has unknown keys ['k']"),
    ],
)
def test_errors_are_one_line(place, capsys, arguments, message):
    Path('folder.pth').mkdir()
    before = Path('iter_5.pth').read_bytes()
    with pytest.raises(SystemExit) as stopped:
        run(*arguments, '--subnets', 'smallest', '--out', 'x.json')
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert Path('iter_5.pth').read_bytes() == before

"""The command line ``poa robustness``: with k-NN, with linear and with whole classifiers."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from poa_mm.commands import main
from poa_mm.datasets import DemoDataset
from poa_mm.evaluation.images import EvalImages
from poa_mm.reporting.report import report
from poa_mm.reporting.robustness_curves import plot_robustness
from tests.helpers.classifiers import classifier_config, save_classifier
from tests.helpers.networks import VIT
from tests.helpers.processes import command_in_processes

CONFIG = f"""
model = dict(
    type='POA',
    backbone={dict(VIT, layer_scale_init_value=0.5)})
randomness = dict(seed=4)
knn = dict(
    train=dict(type='DemoDataset', split='train', num_samples=32, image_size=24),
    val=dict(type='DemoDataset', split='val', num_samples=24, image_size=24))
linear = dict(iters=6, total_batch=8, learning_rates=(0.1, 1.0))
"""
COMMON = ['tiny.py', '--untrained', '--subnets', '16x2', 'intact', '--workers', '0']


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('tiny.py').write_text(CONFIG)
    return tmp_path


def run(command, *arguments, out='out.json'):
    main([command, *COMMON, *map(str, arguments), '--out', out])
    return json.loads(Path(out).read_text())


def test_neighbours(capsys):
    arguments = ['--k', '5', '--ratios', '0', '0.5', '1', '--picture', 'curves.png', '--batch-size', '7']
    record = run('robustness', *arguments)
    assert record['protocol']['grids'] == [1, 2, 4, 8] and record['protocol']['patches'] == 8
    text = capsys.readouterr().out
    assert record['summary'] in text and '| untrained' in text
    assert Path('curves.png').stat().st_size > 5000
    plain = run('knn', '--k', '5', out='plain.json')
    for ours, clean in zip(record['results'], plain['results'], strict=True):
        assert list(ours['occlusion']) == ['0', '0.5', '1'] and list(ours['shuffling']) == ['1', '2', '4', '8']
        assert ours['occlusion']['0'] == ours['shuffling']['1'] == clean['accuracy']['5']
        assert ours['occlusion']['1'] <= 25  # eight classes, all images alike
    assert len({str(r['shuffling']) for r in record['results']}) == 2

    command_in_processes(2, Path.cwd(), 'robustness', *COMMON, *arguments, '--out', 'two.json')
    assert json.loads(Path('two.json').read_text())['results'] == record['results']


def test_linear_classifiers(capsys):
    trained = run('linear', '--save', 'probes.pth', out='linear.json')
    record = run('robustness', '--classifiers', 'probes.pth', '--grids', '4', '2x4', '1', '2')
    assert record['protocol']['grids'] == [1, 2, '2x4', 4]
    assert list(record['results'][0]['shuffling']) == ['1', '2', '2x4', '4']
    plot_robustness(record['results'], 'curves.png', images=record['data']['val']['images'])
    assert list(record['data']) == ['val', 'unreadable']  # nothing is learned
    for ours, clean in zip(record['results'], trained['results'], strict=True):
        assert ours['occlusion']['0'] == ours['shuffling']['1'] == clean['best']
    with pytest.raises(SystemExit):
        run('robustness', '--classifiers', 'probes.pth', '--subnets', '24x3')
    assert 'holds no classifier of untrained 24x3, but of untrained 16x2' in capsys.readouterr().err


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--grids', '3'], 'grids must cut 16 px evenly: [1, 2, 4, 8, 16] do, 3 does not'),
        (['--grids', '2by4'], "a grid of tiles is a number along a side or rows and columns (4 or 2x4), got '2by4'"),
        (['--interpolation', 'cubic'], "interpolation must be one of ['bicubic', 'bilinear'], got 'cubic'"),
        (['--ratios', '0', '1.5'], 'ratios must be from 0 to 1, got [0.0, 1.5]'),
        (['--k', '40'], 'k must be from 1 to the size of the gallery (32 images), got [40]'),
        (['--classifiers', 'nowhere.pth'], "checkpoint 'nowhere.pth' does not exist"),
        (['--classifiers', 'tiny.py'], 'tiny.py is not a PyTorch checkpoint'),
    ],
)
def test_errors_are_one_line(capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        run('robustness', *arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_judge_of_figure_5():
    """One kind of classifier, on the class token, and a bilinear resize, which changes what it sees."""
    judge = ['--features', 'last', '--interpolation', 'bilinear']
    trained = run('linear', *judge, '--save', 'judge.pth', out='linear.json')
    assert {tuple(r['accuracy']) for r in trained['results']} == {('last',)}
    few = ['robustness', '--classifiers', 'judge.pth', '--grids', '1', '--ratios', '0']
    record = run(*few, '--interpolation', 'bilinear')
    for ours, clean in zip(record['results'], trained['results'], strict=True):
        assert ours['occlusion']['0'] == clean['best']
    assert record['protocol']['interpolation'] == 'bilinear'


def test_trained_classifiers(capsys):
    """Without corruption, the accuracy of the network itself on images that are cut and normalised as in its test."""
    config = classifier_config()
    model = save_classifier('epoch_1.pth', config)
    arguments = ['--trained', '--ratios', '0', '1', '--workers', '0', '--out', 'out.json']
    main(['robustness', 'tiny.py', 'epoch_1.pth', *arguments])
    record = json.loads(Path('out.json').read_text())
    (result,) = record['results']
    assert (record['protocol']['crop'], record['protocol']['resize']) == (16, 20)
    assert record['protocol']['classifiers'] == 'trained' and result['kind'] == 'trained'
    assert result['params'] == sum(p.numel() for p in model.parameters())
    images = EvalImages(DemoDataset(split='val', num_samples=24, image_size=24), 20, 16, 'bilinear')
    pixels = torch.stack([images[i].image for i in range(24)]).float()
    mean, std = (torch.tensor(config['data_preprocessor'][key]).view(3, 1, 1) for key in ('mean', 'std'))
    with torch.no_grad():
        found = model((pixels - mean) / std).argmax(1)
    right = sum(int(found[i]) == images.label(i) for i in range(24))
    assert result['occlusion']['0'] == result['shuffling']['1'] == pytest.approx(100 * right / 24, abs=1e-3)
    assert '## Robustness' in report([record])


def test_files_that_are_no_classifiers(capsys):
    save_classifier('good.pth', classifier_config())
    other = classifier_config()
    other['data_preprocessor']['mean'] = [0.0, 0.0, 1.0]
    save_classifier('other.pth', other)
    contents = torch.load('good.pth', weights_only=False)
    torch.save({**contents, 'meta': dict(cfg=Config(classifier_config(32)).pretty_text)}, 'wrong.pth')
    torch.save({**contents, 'meta': dict(cfg='model = dict(type="POA")')}, 'poa.pth')
    for files, message in [
        (['poa.pth'], 'poa.pth is not a checkpoint of an ImageClassifier'),
        (['wrong.pth'], 'wrong.pth does not hold the weights of its config'),
        (['good.pth', 'other.pth'], 'expect images of different size, mean or std'),
        (['good.pth', '--untrained'], '--trained takes neither --classifiers nor --untrained'),
    ]:
        with pytest.raises(SystemExit):
            main(['robustness', 'tiny.py', *files, '--trained'])
        assert message in capsys.readouterr().err

"""The report: the paper's figures beside networks of the same size, and which data ours come from."""

import json

import pytest

from poa_mm.evaluation import read_results
from poa_mm.evaluation.paper import paper_cluster, paper_knn, paper_linear
from poa_mm.evaluation.report import report


def entry(family, width, depth, **kwargs):
    return dict(kind='pretrained', name='x', params=21e6, width=width, depth=depth, family=family, **kwargs)


def content(name, results, **protocol):
    return dict(
        protocol=dict(name=name, amp=False, **protocol),
        data=dict(
            train=dict(source='CustomDataset flowers/train', images=90),
            val=dict(source='CustomDataset flowers/val', images=40),
            unreadable=['a.jpg: broken'],
        ),
        checkpoint='iter_9.pth',
        iteration=9,
        seconds=12.3,
        processes=1,
        time='2024-01-01T00:00:00',
        versions=dict(poa_mm='0.1', torch='2.4'),
        results=results,
        summary='A line.',
    )


@pytest.mark.parametrize(
    'result, knn, linear',
    [
        (entry('VisionTransformer', 384, 12), 76.78, 77.6),
        (entry('VisionTransformer', 1024, 24), 82.27, 83.6),
        (entry('VisionTransformer', 448, 18), 79.75, None),
        (entry('VisionTransformer', 96, 4), None, None),
        (entry('SwinTransformer', 96, 6), 77.48, 78.9),
        (entry('SwinTransformer', 128, 18), 79.63, 82.0),
        (entry('ResNet', 64, [3, 4, 6, 3]), 73.44, 76.9),
        (entry('ResNet', 128, [3, 8, 36, 3]), 77.72, None),
        (entry('ResNet', 64, [2, 4, 6, 3]), None, None),
        (dict(kind='thumbnails', name='8x8'), None, None),
    ],
)
def test_figures_of_the_paper(result, knn, linear):
    assert (paper_knn(result), paper_linear(result)) == (knn, linear)


def test_page(tmp_path):
    assert paper_cluster(entry('VisionTransformer', 384, 12))['acc'] == 61.8
    accuracy = {'10': 50.0, '20': 51.5}
    knn = [entry('VisionTransformer', w, d, accuracy=accuracy, best=51.5) for w in (384, 448) for d in (12, 13)]
    linear = entry(
        'VisionTransformer', 768, 12, accuracy={}, best=66.6, best_setting=dict(features='all', learning_rate=0.01)
    )
    cluster = entry('ResNet', 64, [3, 4, 6, 3], acc=40.0, ari=30.0, nmi=20.0, fmi=10.0, best=40.0)
    robust = entry('ResNet', 64, [3, 4, 6, 3], occlusion={'0': 50.0, '0.5': 20.0}, shuffling={'1': 50.0, '2': 33.0})
    folder = tmp_path / 'results' / 'deep'
    folder.mkdir(parents=True)
    for name, results, settings in [
        ('knn', knn, dict(ks=[10, 20])),
        ('linear', [linear], {}),
        ('cluster', [cluster], {}),
        ('robustness', [robust], {}),
    ]:
        (folder / f'{name}.json').write_text(json.dumps(content(name, results, **settings)))
    (folder / 'log.json').write_text('{"loss": 1}\n{"loss": 2}')
    page = report(read_results([tmp_path / 'results']))
    assert [line for line in page.splitlines() if line.startswith('## ')] == [
        '## k-NN',
        '## Linear probing',
        '## Clustering (k-means)',
        '## Robustness',
    ]
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in page.splitlines() if '|' in line]
    assert ['pretrained', 'x', '448', '13', '21.00', '50.00', '51.50', '51.50', '78.37'] in rows
    assert ['13', '51.50', '51.50'] in rows  # the grid
    assert ['pretrained', 'x', '768', '12', '21.00', '66.60', 'all', '0.01', '81.70'] in rows
    assert ['pretrained', 'x', '64', '3-4-6-3', '21.00', '40.00', '30.00', '20.00', '10.00', '55.70', '38.20', '79.90',
            '38.90'] in rows  # fmt: skip
    assert ['pretrained', 'x', '64', '3-4-6-3', '21.00', '50.0', '33.0'] in rows
    assert page.count('**Measured on CustomDataset flowers/val** (40 images, learned from 90') == 3
    assert page.count('**Measured on CustomDataset flowers/val** (40 images; 1 unreadable)') == 1  # clustering
    assert page.count('In the paper, on ImageNet-1K') == 3 and '1 unreadable' in page


def test_older_files_say_no_family():
    old = entry(None, 384, 12, accuracy={'10': 50.0}, best=50.0)
    del old['family']
    assert '76.78' in report([dict(content('knn', [old], ks=[10]), config='configs/poa_vitl.py')])
    assert '76.78' not in report([content('knn', [old], ks=[10])])


def test_what_is_no_result(tmp_path):
    with pytest.raises(ValueError, match='has no result files'):
        read_results([tmp_path])
    with pytest.raises(FileNotFoundError, match='does not exist'):
        read_results([tmp_path / 'x.json'])
    with pytest.raises(ValueError, match='results of magic cannot be reported: known are knn'):
        report([content('magic', [])])

"""The report: the paper's figures beside networks of the same size, and which data ours come from."""

import json

import pytest
from mmengine.config import Config

from poa_mm.errors import UserError
from poa_mm.evaluation.trained import protocol_of
from poa_mm.models.backbones import describe_static
from poa_mm.reporting.paper import paper_cluster, paper_knn, paper_linear
from poa_mm.reporting.records import read_knn, read_results
from poa_mm.reporting.report import report
from poa_mm.reporting.tables import NETWORK_COLUMNS, markdown_table


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
        seed_of_evaluation=3,
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
        (entry('ResNet', 64, [3, 4, 6]), None, None),
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
    contents = read_results([tmp_path, tmp_path / 'results'])
    assert len(contents) == 4
    page = report(contents)
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


def trained(name, result, source='CustomDataset flowers/val', **protocol):
    found = content(name, [result], **protocol)
    found['data']['val']['source'] = source
    return {**found, 'pretrained': dict(file='S.pth', iteration=9), 'config': 'x.py'}


def test_numbers_to_the_right_and_words_to_the_left():
    table = markdown_table(['depth', 'width 16', 'paper'], [['3-4', '9.5', ''], ['3-4-6', '10.5', '']])
    assert table.splitlines() == [
        '| depth | width 16 | paper |',
        '| ----- | -------: | ----- |',
        '| 3-4   |      9.5 |       |',
        '| 3-4-6 |     10.5 |       |',
    ]


def test_trained_models_are_one_table_a_protocol(tmp_path):
    vit, swin = (('VisionTransformer', 384, 12), ('SwinTransformer', 96, 6))
    top1 = {'accuracy/top1': 71.234, 'accuracy/top5': 90.0}
    scratch = dict(entry(*vit, metrics={'accuracy/top1': 60.0}), kind='from scratch')
    runs = [
        trained('finetune', entry(*vit, metrics=top1), max_epochs=10),
        trained('finetune', scratch, 'ImageNet data/imagenet', max_epochs=10),
        trained('finetune', entry(*swin, metrics=top1)),
        trained('semi', entry(*vit, metrics=top1), fraction=0.1),
        trained('semi', entry(*vit, metrics=top1), list_file='1percent.txt'),
        trained('transfer', entry(*vit, metrics=top1), dataset='Cars'),
        trained('transfer', entry(*vit, metrics=top1), dataset='INaturalist'),
        trained('detection', entry(*vit, metrics={'coco/bbox_mAP': 0.25, 'coco/segm_mAP': 0.125}), model='MaskRCNN'),
        trained('segmentation', entry(*vit, metrics={'mIoU': 33.3}), model='UPerHead'),
        trained('segmentation', entry('VisionTransformer', 768, 12, metrics={'mIoU': 22.2}), model='linear'),
        trained('test', entry('ResNet', 64, [3, 4, 6, 3], metrics={'samples': 8})),
    ]
    for i, run in enumerate(runs):
        (tmp_path / f'{i}.json').write_text(json.dumps(run))
    page = report(read_results([tmp_path]))
    sections = {text.partition('\n')[0]: text for text in page.split('## ')[1:]}
    tables = {}
    for title, text in sections.items():
        lines = [line for line in text.splitlines() if line.startswith('|')]
        tables[title] = [[cell.strip() for cell in line.strip('|').split('|')] for line in (lines[0], *lines[2:])]
        assert sum(line.startswith('| ---') for line in lines) == 1  # one table
    here = 'CustomDataset flowers/val (40 images)'
    assert tables['Fine-tuning'] == [
        ['weights', 'network', 'width', 'depth', 'params, M', 'measured on', 'settings', 'top-1, %', 'paper top-1, %'],
        ['pretrained', 'x', '384', '12', '21.00', here, 'amp False, max_epochs 10', '71.23', '82.1'],
        ['from scratch', 'x', '384', '12', '21.00', 'ImageNet data/imagenet (40 images)', 'amp False, max_epochs 10',
         '60.00', ''],
        ['pretrained', 'x', '96', '6', '21.00', here, 'amp False', '71.23', '81.0'],
    ]  # fmt: skip
    assert 'The paper: ImageNet-1K. A figure of ours is comparable' in sections['Fine-tuning']
    assert [row[-2:] for row in tables['Few labels'][1:]] == [['71.23', '75.9'], ['71.23', '']]
    assert [row[-2:] for row in tables['Transfer'][1:]] == [['71.23', '94.2'], ['71.23', '']]
    assert tables['Detection and instance segmentation'][1][-4:] == ['25.00', '12.50', '50.6', '43.8']
    assert [row[-2:] for row in tables['Semantic segmentation'][1:]] == [['33.30', '46.7'], ['22.20', '40.3']]
    assert tables['Other tests'] == [
        [*NETWORK_COLUMNS, 'measured on', 'settings', 'samples'],
        ['pretrained', 'x', '64', '3-4-6-3', '21.00', here, 'amp False', '8.00'],
    ]


@pytest.mark.parametrize(
    'backbone, expected',
    [
        (dict(type='VisionTransformer', arch=dict(embed_dims=96, num_layers=4)), ('VisionTransformer', 96, 4)),
        (
            dict(type='mmpretrain.SwinTransformer', arch=dict(embed_dims=24, depths=[1, 1, 2])),
            ('SwinTransformer', 24, 2),
        ),
        (dict(type='mmdet.SwinTransformer', embed_dims=96, depths=(2, 2, 6, 2)), ('SwinTransformer', 96, 6)),
        (dict(type='ResNet', depth=50), ('ResNet', 64, (3, 4, 6, 3))),
        (dict(type='poa_mm.StaticResNet', stage_blocks=(1, 1, 2), mid_channels=16), ('ResNet', 16, (1, 1, 2))),
        (dict(type='VisionTransformer', arch='base'), None),
    ],
)
def test_size_of_a_standard_backbone(backbone, expected):
    assert describe_static(backbone) == (dict(zip(('family', 'width', 'depth'), expected)) if expected else {})


@pytest.mark.parametrize(
    'config, metrics, expected',
    [
        (dict(), {'coco/bbox_mAP': 0.1}, dict(name='detection', model='MaskRCNN')),
        (dict(), {'mIoU': 1}, dict(name='segmentation', model='UPerHead')),
        (dict(type='mmpretrain.CIFAR10'), {'accuracy/top1': 1}, dict(name='transfer', dataset='CIFAR-10')),
        (dict(type='poa_mm.INaturalist', ann_file='train2019.json'), {'accuracy/top1': 1},
         dict(name='transfer', dataset='iNaturalist19')),
        (dict(type='poa_mm.INaturalist', ann_file='train2018.json', data_root='2019'), {'accuracy/top1': 1},
         dict(name='transfer', dataset='iNaturalist18')),
        (dict(type='poa_mm.INaturalist', ann_file='train2021.json'), {'accuracy/top1': 1},
         dict(name='transfer', dataset='INaturalist')),
        (dict(type='poa_mm.LabelFraction', fraction=0.1), {'accuracy/top1': 1}, dict(name='semi', fraction=0.1)),
        (dict(type='poa_mm.LabelFraction', fraction=1.0), {'accuracy/top1': 1}, dict(name='finetune')),
        (dict(), {'samples': 1}, dict(name='test', model='MaskRCNN')),
    ],
)  # fmt: skip
def test_protocol_of_a_run(config, metrics, expected):
    model = dict(type='MaskRCNN', decode_head=dict(type='mmseg.UPerHead'))
    cfg = Config(dict(model=model, train_dataloader=dict(dataset=config), train_cfg=dict(max_epochs=3)))
    assert protocol_of(cfg, metrics, frozen=False) == {**expected, 'max_epochs': 3}


def test_what_is_no_result(tmp_path):
    with pytest.raises(ValueError, match='has no result files'):
        read_results([tmp_path])
    with pytest.raises(ValueError, match='does not exist'):
        read_results([tmp_path / 'x.json'])
    whole = content('knn', [entry('VisionTransformer', 384, 12, accuracy={'20': 50.0}, best=50.0)])
    for change in (dict(data=None), dict(data=dict(val={})), dict(results=[3]), dict(results=[{}]), dict(protocol=3)):
        (tmp_path / 'x.json').write_text(json.dumps(whole | change))
        with pytest.raises(UserError, match='is not a result of a protocol'):
            read_results([tmp_path / 'x.json'])
    (tmp_path / 'x.json').write_bytes(b'\x80\xff')
    with pytest.raises(UserError, match='is not a result of a protocol'):
        read_results([tmp_path / 'x.json'])
    (tmp_path / 'x.json').write_text(json.dumps(whole))
    assert read_knn(tmp_path / 'x.json') == whole
    for lacking in ('accuracy', 'best'):
        result = {key: value for key, value in whole['results'][0].items() if key != lacking}
        (tmp_path / 'x.json').write_text(json.dumps(whole | dict(results=[result])))
        with pytest.raises(UserError, match='is not a result of poa knn'):
            read_knn(tmp_path / 'x.json')
    with pytest.raises(ValueError, match='results of magic cannot be reported: known are knn'):
        report([content('magic', [])])

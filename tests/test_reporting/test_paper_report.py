"""Every published figure has a row; ours are found by recipe, network and measure."""

from collections import Counter

from poa_mm.reporting.paper_report import paper_figures, paper_report

SMALL = dict(kind='pretrained', name='S', family='VisionTransformer', width=384, depth=12, params=1)


def record(protocol, result, recipe='poa_vitl', **more):
    source = dict(file='x.pth', experiment_name=f'{recipe}_20260102_030405')
    return dict(
        protocol=protocol,
        files=[source],
        data=dict(val=dict(source='ImageFolder imagenet/val', images=50000)),
        time='2026-01-02',
        results=[{**SMALL, **result}],
        **more,
    )


def row(page, *start):
    """The other cells of the first row that begins with some cells."""
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in page.splitlines() if line[:1] == '|']
    found = next(line for line in cells if tuple(line[: len(start)]) == start)
    return found[len(start) :]


def test_every_figure_is_there():
    figures = list(paper_figures())
    assert Counter(figure.table for figure in figures) == {
        '1, 7': 30,
        '2': 7,
        '3': 18,
        '4': 8,
        '5': 18,
        '8': 3,
        '9': 4,
        '10': 6,
        '11': 8,
        '12': 12,
        '13': 143,
        '14': 39,
        '15': 48,
        '16': 6,
        '17': 24,
        '18': 18,
        '19': 9,
    }
    page = paper_report([])
    assert page.count('| missing |') == len(figures) and f'0 of {len(figures)} published figures' in page


def test_ours_beside_theirs():
    trained = dict(file='S.pth', experiment_name='poa_vitl_20260102_030405')
    cascade = dict(name='detection', model='CascadeRCNN', max_epochs=36)
    labels = dict(name='semi', fraction=0.01, list_file='1percent.txt')
    upernet = dict(name='segmentation', model='UPerHead', max_iters=160000)
    page = paper_report(
        [
            record(dict(name='knn'), dict(best=70.0)),
            record(dict(name='linear'), dict(best=80.0), recipe='vitl_variant1'),
            record(dict(name='cluster'), dict(acc=60.0, ari=1.0, nmi=2.0, fmi=3.0)),
            record(dict(name='knn'), dict(best=99.0, kind='untrained')),
            record(cascade, {'metrics': {'coco/bbox_mAP': 0.5}}, pretrained=trained),
            record(dict(cascade, model='MaskRCNN'), {'metrics': {'coco/bbox_mAP': 0.1}}, pretrained=trained),
            record(dict(cascade, max_epochs=12), {'metrics': {'coco/bbox_mAP': 0.1}}, pretrained=trained),
            record(labels, {'metrics': {'accuracy/top1': 68.0}}, pretrained=trained),
            record(dict(name='transfer', dataset='Cars'), {'metrics': {'accuracy/top1': 94.0}}, pretrained=trained),
            record(upernet, {'metrics': {'mIoU': 46.0}}, pretrained=trained),
            record(dict(upernet, max_iters=80000), {'metrics': {'mIoU': 1.0}}, pretrained=trained),
        ]
    )
    where = 'ImageFolder imagenet/val (50000 images)'
    assert row(page, 'poa_vitl', 'ViT-S/16', 'k-NN') == ['76.8', '70.00', '-6.80', where]
    assert row(page, 'poa_vitl', '12, 384', 'k-NN') == ['76.78', '70.00', '-6.78', where]
    assert row(page, 'vitl_variant1', 'ViT-S/16', 'linear') == ['74.5', '80.00', '+5.50', where]
    assert row(page, 'vitl_variant1', 'ViT-S/16', 'k-NN')[1:] == ['missing', '', '']
    assert row(page, 'poa_vitl', 'ViT-S/16', 'ACC')[1] == '60.00'
    assert row(page, 'poa_vitl', 'ViT-S/16', 'box AP')[:3] == ['50.6', '50.00', '-0.60']
    assert row(page, 'poa_vitl', 'ViT-S/16', '1% of the labels')[1] == '68.00'
    assert row(page, 'poa_vitl', 'ViT-S/16', 'Cars')[1] == '94.00'
    assert row(page, 'poa_vitl', 'ViT-S/16', 'mIoU, UPerNet')[1] == '46.00'
    assert row(page, 'poa_vitl', 'ViT-S/16', 'fine-tuning')[1] == 'missing'
    assert page.count(where) == 13 and '13 of 401' in page  # k-NN in tables 1, 13, 17, 18, four scores, five others

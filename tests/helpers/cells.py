"""The cells of the table of formats: three families, three sizes each."""

from tests.helpers.networks import SWIN_TWO_STAGES, VIT

NETWORKS = {
    'vit': {**VIT, 'img_size': 32, 'depths': (4, 6)},
    # Maps of 8 and 4 positions, windows of 4: the last map is one window.
    'swin': {**SWIN_TWO_STAGES, 'img_size': 32, 'widths': (16, 32, 8), 'depths': (1, 3)},
    # The groups and the stem of timm's ResNet.
    'resnet': dict(type='ElasticResNet', widths=(32, 128, 32), depths=((1, 1), (1, 2), (1, 3), (1, 1))),
}
SIZES = {
    'vit': ('smallest', '24x5', 'intact'),
    'swin': ('smallest', '24x2', 'intact'),
    'resnet': ('smallest', '96x1-2-2-1', 'intact'),
}
CELLS = [(family, size) for family, sizes in SIZES.items() for size in sizes]
SOURCE = dict(
    checkpoint='work_dirs/tiny/iter_12.pth',
    branch='teacher',
    iteration=12,
    mean=[120.0, 110.0, 100.0],
    std=[60.0, 55.0, 50.0],
    data='ImageFolder photographs',
)
SIDE = {'vit': 32, 'swin': 32, 'resnet': 64}
RESULTS = (dict(task='k-NN', data='CIFAR-10', metric='accuracy, k = 10', value=81.25),)

"""All protocols alike: two processes give what one gives, and bad inputs give one clear sentence."""

import json
import logging
import shutil

import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger

from poa_mm.registry import DATASETS
from tests.helpers import protocols as protocols
from tests.helpers.processes import in_processes

UNREADABLE = ('dark/2.png', 'dim/1.png')


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Checkpoints and folders of images, good and bad."""
    folder = tmp_path_factory.mktemp('protocols')
    protocols.save_checkpoint(folder / 'iter_5.pth')
    protocols.save_checkpoint(folder / 'broken.pth', broken=True)
    protocols.save_images(folder / 'train', 7, UNREADABLE[:1])
    protocols.save_images(folder / 'val', 5, UNREADABLE[1:])
    for split in ('train', 'val'):
        shutil.copytree(folder / split, folder / f'{split}_empty_class')
        shutil.rmtree(folder / f'{split}_empty_class' / 'dim')
        (folder / f'{split}_empty_class' / 'dim').mkdir()
    (folder / 'nothing').mkdir()
    for name in ('bright', 'dark', 'dim'):
        (folder / 'no_images' / name).mkdir(parents=True)
    (folder / 'flat').mkdir()
    shutil.copy(folder / 'val' / 'dark' / '0.png', folder / 'flat')
    protocols.save_images(folder / 'unreadable', 1, ('bright/0.png', 'dark/0.png', 'dim/0.png'))
    return folder


def same(one, two):
    """Compare two records but for what must differ."""
    for record in (one, two):
        for key in ('time', 'processes', 'summary'):
            record.pop(key)
        for key in ('classifiers',):
            record['protocol'].pop(key, None)
    assert one == two


def test_two_processes_equal_one(place):
    one = json.loads(json.dumps(protocols.run_all(place)))
    found = json.loads(json.dumps(in_processes(2, protocols.run_all, place)))
    assert {record['processes'] for record in found[0].values()} == {2}
    for name, record in one.items():
        counts = [record['data'][split]['images'] for split in ('train', 'val')]
        train_is_read = name not in ('cluster', 'classified')
        assert counts == [20 if train_is_read else 21, 14]  # one of each is unreadable
        assert ' on 14 images' in record['summary']
        for two in found:  # both processes know the result
            same(dict(record, protocol=dict(record['protocol'])), two[name])
    grids = [torch.load(place / f'probes{size}.pth')['grids'] for size in (1, 2)]
    for name, grid in grids[0].items():
        for key, weight in grid.items():
            torch.testing.assert_close(weight, grids[1][name][key], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('protocol', protocols.PROTOCOLS)
def test_unreadable_images_are_named_and_counted(place, protocol):
    warnings, handler = [], logging.Handler()
    handler.emit = lambda entry: warnings.append(entry.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        record = protocols.PROTOCOLS[protocol](protocols.inputs(place))
    finally:
        logger.removeHandler(handler)
    seen = UNREADABLE[1:] if protocol == 'cluster' else UNREADABLE  # clustering reads the validation images alone
    assert len(record['data']['unreadable']) == len(seen)
    for name in seen:
        assert sum('cannot read image' in text and name in text for text in warnings) == 1
    assert f'{len(seen)} images could not be read and were left out' in warnings[-1]


@pytest.mark.parametrize('protocol', protocols.PROTOCOLS)
@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(train='train_empty_class'), 'has class folders without images: dim'),
        (dict(val='val_empty_class'), 'has class folders without images: dim'),
        (dict(val='flat'), 'has no labels: images must lie in one sub-folder per class'),
        (dict(val='nothing'), 'has no labels: images must lie in one sub-folder per class'),
        (dict(val='no_images'), 'holds no images'),
        (dict(train='no_images'), 'holds no images'),
        (dict(val='unreadable'), 'images( of the validation set)? could be read'),
        (dict(checkpoint='broken.pth'), 'is of a run that failed'),
        (dict(checkpoint='nowhere.pth'), r"nowhere\.pth' does not exist"),
    ],
)
def test_bad_inputs(place, protocol, wrong, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        protocols.PROTOCOLS[protocol](protocols.inputs(place, **wrong))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('protocol', protocols.PROTOCOLS)
@pytest.mark.parametrize(
    'data, message',
    [([], "the data 'Listed' holds no images"), ([dict(img_path='x.png')], 'the data set has no labels')],
)
def test_data_sets_of_a_config(place, protocol, data, message):
    @DATASETS.register_module(force=True)
    class Listed(BaseDataset):
        def load_data_list(self):
            return list(data)  # MMEngine empties it

    wrong = protocols.inputs(place, val=dict(type='Listed', pipeline=[]))
    try:
        with pytest.raises(ValueError, match=message):
            protocols.PROTOCOLS[protocol](wrong)
    finally:
        DATASETS.module_dict.pop('Listed')


@pytest.mark.parametrize('protocol, wrong', [('knn', dict(ks=(3, 30))), ('robustness', dict(k=30))])
def test_gallery_smaller_than_k(place, protocol, wrong):
    with pytest.raises(ValueError, match=r'k must be from 1 to the size of the gallery \(21 images\), got'):
        protocols.PROTOCOLS[protocol](protocols.inputs(place, **wrong))
    wrong = {key: 21 if key == 'k' else (3, 21) for key in wrong}
    with pytest.raises(ValueError, match=r'k = 21 is larger than the gallery \(20 images\)'):  # one is unreadable
        protocols.PROTOCOLS[protocol](protocols.inputs(place, **wrong))

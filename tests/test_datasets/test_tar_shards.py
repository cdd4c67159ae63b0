"""Shards: same images as from a folder, at random, from any process."""

import io
import json
import os
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from poa_mm.datasets import ImageFolder, TarShards, ViewsDataset, open_class_folders, open_dataset
from poa_mm.datasets.reading import open_folder
from poa_mm.errors import UserError
from poa_mm.evaluation.images import open_split_pair


def encoded(seed):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 20, 3), np.uint8)).save(file, 'png')
    return file.getvalue()


def write_shard(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, 'w') as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def place(tmp_path):
    """The same 10 images in a folder and in three shards, labels as ``.cls`` and as ``.json``."""
    for shard, numbers in enumerate([range(4), range(4, 5), range(5, 10)]):
        members = []
        for number in numbers:
            label = number % 3
            folder = tmp_path / f'folder/{number:03}'
            folder.mkdir(parents=True)
            (folder / 'x.png').write_bytes(encoded(number))
            text = ('cls', str(label)) if number % 2 else ('json', json.dumps(dict(label=label, caption='x')))
            members += [(f'{number:03}.png', encoded(number)), (f'{number:03}.{text[0]}', text[1].encode())]
        write_shard(tmp_path / f'shards/train-{shard}.tar', members)
    return tmp_path


def shards(place, **kwargs):
    return dict(type='TarShards', shards=f'{place}/shards/train-*.tar', **kwargs)


def test_same_images_as_a_folder(place):
    tar, folder = open_dataset(shards(place, with_label=True)), ImageFolder(place / 'folder', cache=place / 'cache')
    assert len(tar) == len(folder) == 10 and tar.metainfo['classes'] == ('0', '1', '2')
    assert tar.labels.tolist() == [number % 3 for number in range(10)]
    for index in np.random.default_rng(0).permutation(10):
        assert np.array_equal(tar[index]['img'], folder[index]['img'])
        assert tar.get_data_info(index)['gt_label'] == index % 3
    assert tar.get_data_info(4)['img_path'] == f'{place}/shards/train-1.tar/004'
    assert 'gt_label' not in open_dataset(shards(place)).get_data_info(0)


def test_index_is_kept_and_notices_another_shard(place, monkeypatch):
    first = TarShards(f'{place}/shards/train-*.tar')
    opened = []
    original = tarfile.open
    monkeypatch.setattr(
        tarfile, 'open', lambda *args, **kwargs: opened.append(str(args[0])) or original(*args, **kwargs)
    )
    again = TarShards(f'{place}/shards/train-*.tar')
    assert not opened and np.array_equal(again.table, first.table)
    changed = place / 'shards/train-1.tar'
    write_shard(changed, [('a.png', encoded(77)), ('b.png', encoded(78))])
    os.utime(changed, (1, 1))
    opened.clear()
    assert len(TarShards(f'{place}/shards/train-*.tar')) == 11 and opened == [str(changed)]
    (place / 'shards/train-0.tar.index.npz').write_bytes(b'damaged')
    assert len(TarShards(f'{place}/shards/train-*.tar')) == 11


VIEWS = dict(
    global_1=dict(size=16, scale=(0.3, 1.0)),
    global_2=dict(size=16, scale=(0.3, 1.0)),
    local=dict(size=8, number=2, scale=(0.05, 0.3)),
)


@pytest.mark.parametrize('workers', [0, 2])
def test_the_same_views_as_from_a_folder_for_any_number_of_workers(place, workers):
    folder = ViewsDataset(ImageFolder(place / 'folder', cache=place / 'cache'), VIEWS)
    loader = DataLoader(ViewsDataset(shards(place), VIEWS), batch_size=None, sampler=range(10), num_workers=workers)
    for index, item in enumerate(loader):
        for key in ('global_crops', 'local_crops'):
            assert torch.equal(item[key], folder[index][key])


def test_mistakes_are_one_sentence(place):
    def refused(message, path, **kwargs):
        with pytest.raises(UserError, match=message) as stopped:
            TarShards(path, **kwargs)
        assert '\n' not in str(stopped.value)

    refused('matches no shards', f'{place}/none-*.tar')
    write_shard(place / 'one/a.tar', [('x.txt', b'x')])
    refused('hold no images', place / 'one/a.tar')
    write_shard(place / 'one/b.tar', [('x.png', b'x'), ('y.png', b'y'), ('y.cls', b'dog')])
    refused('2 samples of .* have no class', place / 'one/b.tar', with_label=True)
    (place / 'one/c.tar').write_bytes(b'not a tar file at all' * 100)
    refused('is not an uncompressed tar file', place / 'one/c.tar')
    (place / 'one/d.tar').mkdir()
    refused(r'one/d\.tar is not an uncompressed tar file, .* Is a directory', place / 'one/d.tar')


def test_shards_wherever_a_folder_is_named(place):
    path = f'{place}/shards/train-*.tar'
    recipe = open_dataset(dict(type='ImageFolder', data_root=path))  # data_root=... of a recipe
    train, val = open_split_pair(path, path)  # --train and --val
    assert [type(each) for each in (recipe, train, val, open_folder(path))] == [TarShards] * 4
    assert train.metainfo['classes'] == ('0', '1', '2') and 'gt_label' not in recipe.get_data_info(0)
    with pytest.raises(UserError, match='no shards'):
        open_class_folders(f'{place}/none-*.tar')

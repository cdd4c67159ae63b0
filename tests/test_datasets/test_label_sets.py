"""Parts of the labels, and the layout of iNaturalist."""

import json
from collections import Counter

import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from poa_mm.datasets import DemoDataset, ImageFolder
from poa_mm.datasets.label_sets import INaturalist, LabelFraction
from poa_mm.errors import UserError


def test_as_many_of_every_class():
    whole = DemoDataset(num_samples=80, image_size=16)
    sizes = Counter(whole.get_data_info(i)['gt_label'] for i in range(80))
    part = LabelFraction(whole, fraction=0.3, seed=1)
    chosen = Counter(part.get_data_info(i)['gt_label'] for i in range(len(part)))
    assert chosen == {label: max(1, round(0.3 * n)) for label, n in sizes.items()}
    assert part.indices == LabelFraction(whole, fraction=0.3, seed=1).indices
    assert part.indices != LabelFraction(whole, fraction=0.3, seed=2).indices
    assert len(LabelFraction(whole, fraction=0.001)) == len(sizes)
    assert part.metainfo['classes'] == whole.metainfo['classes']
    assert part[0]['gt_label'] == whole[part.indices[0]]['gt_label']


def write(folder):
    content = dict(
        categories=[dict(id=7, name='moth'), dict(id=3, name='ant')],
        images=[dict(id=i, file_name=f'train/{i}.jpg') for i in range(4)],
        annotations=[dict(image_id=i, category_id=(3, 7)[i % 2]) for i in range(4)],
    )
    (folder / 'train.json').write_text(json.dumps(content))


def test_inaturalist_and_a_list(tmp_path):
    write(tmp_path)
    whole = INaturalist(data_root=str(tmp_path), ann_file='train.json')
    assert whole.metainfo['classes'] == ('ant', 'moth')
    assert [whole.get_data_info(i)['gt_label'] for i in range(4)] == [0, 1, 0, 1]
    assert whole.get_data_info(2)['img_path'] == str(tmp_path / 'train' / '2.jpg')
    (tmp_path / 'list.txt').write_text('3.jpg\ntrain/0.jpg\n\n')
    assert LabelFraction(whole, list_file=str(tmp_path / 'list.txt')).indices == [0, 3]
    (tmp_path / 'list.txt').write_text('3.jpg\n9.jpg\n')
    with pytest.raises(ValueError, match=r"names 2 images, but 1 are not in the data set: \['9\.jpg'\]"):
        LabelFraction(whole, list_file=str(tmp_path / 'list.txt'))
    with pytest.raises(ValueError, match='does not exist'):
        LabelFraction(whole, list_file=str(tmp_path / 'none.txt'))
    (tmp_path / 'list.txt').write_text('3.jpg\n0.jpg\n')
    assert LabelFraction(whole, fraction=0.5, list_file=str(tmp_path / 'list.txt')).indices == [0, 3]
    with pytest.raises(ValueError, match=r'list\.txt names 50\.00% of the images, but fraction is 0\.1'):
        LabelFraction(whole, fraction=0.1, list_file=str(tmp_path / 'list.txt'))


@pytest.fixture
def folder(tmp_path):
    for name in ('a/0', 'a/1', 'b/0', 'b/1'):
        (tmp_path / 'images' / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (4, 4)).save(tmp_path / f'images/{name}.png')
    return str(tmp_path / 'images')


def test_our_own_folder(folder, tmp_path):
    config = dict(type='poa_mm.ImageFolder', data_root=folder, with_label=True)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        part = LabelFraction(config, fraction=0.5)
        theirs = dict(type='CustomDataset', data_root=folder, pipeline=[dict(type='LoadImageFromFile')])
        assert LabelFraction(theirs, fraction=0.5).indices == part.indices
    assert [part.get_data_info(i)['gt_label'] for i in range(len(part))] == [0, 1] and part[0]['img'].shape == (4, 4, 3)
    with pytest.raises(UserError, match=f'the data set has no labels: ImageFolder {folder}'):
        LabelFraction(dict(config, with_label=False), fraction=0.5)


def test_folders_of_a_list_are_those_of_the_images(folder, tmp_path):
    def listed(text):
        (tmp_path / 'list.txt').write_text(text)
        return LabelFraction(ImageFolder(folder, with_label=True), list_file=str(tmp_path / 'list.txt')).indices

    assert listed('a/0.png\n') == [0] and listed('./b/0.png\n') == [2] and listed(f'{folder}/b/1.png') == [3]
    assert listed('0.png\nb/1.png\n') == [0, 2, 3]
    with pytest.raises(UserError, match=r"names 2 images, but 1 are not in the data set: \['c/0\.png'\]"):
        listed('a/0.png\nc/0.png\n')


@pytest.mark.parametrize(
    'options, message', [(dict(), 'give fraction or list_file'), (dict(fraction=2), 'at most 1, got 2')]
)
def test_wrong_values(options, message):
    with pytest.raises(ValueError, match=message):
        LabelFraction(DemoDataset(num_samples=8), **options)

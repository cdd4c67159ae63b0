"""Opening data sets and reading images: what is found, and one clear sentence for what is not."""

import cv2
import numpy as np
import pytest
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope

from poa_mm.datasets import DemoDataset, UnreadableImageError, describe, open_class_folders, open_dataset, read_image
from poa_mm.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """Two classes of three images each."""
    rng = np.random.default_rng(0)
    for name in ('dog', 'cat'):
        (tmp_path / 'data' / name).mkdir(parents=True)
        for i in range(3):
            cv2.imwrite(str(tmp_path / 'data' / name / f'{i}.png'), rng.integers(0, 256, (5 + i, 7, 3), dtype=np.uint8))
    return tmp_path / 'data'


def test_class_folders(folder):
    dataset = open_class_folders(folder)
    assert dataset.metainfo['classes'] == ('cat', 'dog')
    assert [dataset.get_data_info(i)['gt_label'] for i in range(6)] == [0, 0, 0, 1, 1, 1]
    assert describe(dataset) == f'ImageFolder {folder}'
    image = read_image(dataset, 5)
    assert np.array_equal(image[..., ::-1], cv2.imread(str(folder / 'dog' / '2.png'))) and image.shape == (7, 7, 3)


@pytest.mark.parametrize('content, reason', [(None, 'No such file'), (b'', ''), (b'not a picture', '')])
def test_unreadable_image(folder, content, reason):
    path = folder / 'cat' / '1.png'
    dataset = open_class_folders(folder)
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=rf'^cannot read image {path}: .*{reason}') as caught:
        read_image(dataset, 1)
    assert '\n' not in str(caught.value)
    assert read_image(dataset, 0).shape == (5, 7, 3)


def test_pipeline_without_image():
    with pytest.raises(UserError, match=r"pipeline of DemoDataset gives no 'img': it needs dict\(type='LoadImage"):
        read_image(DemoDataset(num_samples=8, pipeline=[lambda results: dict(x=1)]), 0)


def test_open_dataset_ignores_the_default_scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        assert len(open_dataset(dict(type='DemoDataset', num_samples=8))) == 8


def test_other_errors_keep_their_type():
    class Broken(BaseDataset):
        def load_data_list(self):
            raise ValueError('a bug')

    with pytest.raises(ValueError, match='a bug') as caught:
        open_dataset(Broken(lazy_init=True))
    assert not isinstance(caught.value, UserError)


def test_folders_that_will_not_do(folder, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere' does not exist"):
        open_class_folders(tmp_path / 'nowhere')
    with pytest.raises(ValueError, match='has no labels: images must lie in one sub-folder per class'):
        open_class_folders(folder / 'cat')
    (folder / 'emu').mkdir()
    with pytest.raises(ValueError, match='class folders without images: emu'):
        open_class_folders(folder)
    (tmp_path / 'bare' / 'x').mkdir(parents=True)
    with pytest.raises(ValueError, match='holds no images'):
        open_class_folders(tmp_path / 'bare')

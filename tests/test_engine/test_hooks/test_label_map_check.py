"""One clear error for each mistake in label maps, before the first step."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmengine.dataset import BaseDataset
from torch import nn

from poa_mm.engine.hooks import LabelMapCheckHook


class Maps(BaseDataset):
    """What the hook reads of mmseg's data sets."""

    METAINFO = dict(classes=('wall', 'building', 'sky'))

    def __init__(self, root: Path, reduce_zero_label: bool = True, label_map: dict | None = None) -> None:
        self.settings = dict(reduce_zero_label=reduce_zero_label, label_map=label_map)
        super().__init__(data_root=str(root), data_prefix=dict(img_path='images', seg_map_path='maps'))

    def load_data_list(self) -> list[dict]:
        folder, maps = (Path(self.data_prefix[key]) for key in ('img_path', 'seg_map_path'))
        images = sorted(folder.glob('*.jpg'))
        return [dict(img_path=str(p), seg_map_path=str(maps / f'{p.stem}.png'), **self.settings) for p in images]


@pytest.fixture
def root(tmp_path):
    for folder in ('images', 'maps'):
        (tmp_path / folder).mkdir()
    for i in range(4):
        (tmp_path / 'images' / f'{i}.jpg').touch()
        write(tmp_path, i, [0, 1, 3, 255])
    return tmp_path


def write(root: Path, index: int, labels: list[int]) -> None:
    cv2.imwrite(str(root / 'maps' / f'{index}.png'), np.array([labels], np.uint8))


def check(dataset: Maps, num_classes: int = 3, val: Maps | None = None, **options) -> None:
    model = nn.Module()
    model.decode_head = SimpleNamespace(num_classes=num_classes)
    loaders = [SimpleNamespace(dataset=d) for d in (dataset, val)]
    runner = SimpleNamespace(
        model=model, train_dataloader=loaders[0], val_dataloader=loaders[1], val_loop=val, test_dataloader=loaders[0]
    )
    LabelMapCheckHook(**options).before_train(runner)
    LabelMapCheckHook(**options).before_test(runner)


def test_good_maps(root):
    check(Maps(root))
    write(root, 0, [0, 1, 2, 255])
    for i in range(4):
        write(root, i, [0, 2, 255])
    check(Maps(root, reduce_zero_label=False))


def test_missing_map(root):
    (root / 'maps' / '2.png').unlink()
    with pytest.raises(ValueError, match=r'2\.jpg has no label map: .*2\.png does not exist'):
        check(Maps(root))


def test_validation_is_checked_too(root, tmp_path):
    other = Maps(root)
    write(root, 3, [9])
    with pytest.raises(ValueError, match='labels'):
        check(other, val=Maps(root))


@pytest.mark.parametrize(
    ('reduce', 'label', 'allowed'), [(True, 4, '1 to 3, 0 and 255 mean none'), (False, 3, '0 to 2, 255 means none')]
)
def test_unknown_label(root, reduce, label, allowed):
    for i in range(4):
        write(root, i, [1, label])
    with pytest.raises(ValueError, match=rf'has the labels \[{label}\], but the 3 classes are {allowed}'):
        check(Maps(root, reduce))


def test_chosen_classes(root):
    """A data set that leaves classes out maps the labels of the file, of which there are more."""
    write(root, 0, [0, 5])
    check(Maps(root, label_map={0: 0, 1: 255, 2: 1, 3: 255, 4: 2}))


def test_samples_limit_what_is_read(root):
    write(root, 1, [200])
    check(Maps(root), samples=2)  # the first and the last
    with pytest.raises(ValueError, match=r'1\.png'):
        check(Maps(root), samples=4)


def test_head_of_another_size(root):
    with pytest.raises(ValueError, match='num_classes is 150, but Maps has 3 classes'):
        check(Maps(root), num_classes=150)

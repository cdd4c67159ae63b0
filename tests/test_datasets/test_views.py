from functools import partial

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from poa_mm.datasets import Draw, SeededInfiniteSampler, ViewsDataset, multi_crop_collate
from poa_mm.registry import DATASETS

VIEWS = dict(
    global_1=dict(size=48, scale=(0.32, 1.0), blur=0.0),
    global_2=dict(size=48, scale=(0.32, 1.0), blur=0.9, solarize=0.2),
    local=dict(size=24, scale=(0.05, 0.32), blur=0.5, number=4),
)
LOAD = [dict(type='LoadImageFromFile')]


@pytest.fixture(autouse=True)
def poa_scope():
    """As a config with default_scope = 'poa_mm'."""
    with DefaultScope.overwrite_default_scope('poa_mm'):
        yield


@pytest.fixture
def folder(tmp_path):
    """ImageFolder layout, 6 images of different shapes; also a flat folder for with_label=False."""
    rng = np.random.default_rng(0)
    for i in range(6):
        path = tmp_path / 'data' / f'class_{i % 2}' / f'{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 256, (60 + i, 80 - i, 3), dtype=np.uint8))
    return tmp_path / 'data'


def build(folder, pipeline=LOAD, **kwargs):
    dataset = dict(type='mmpretrain.CustomDataset', data_root=str(folder), pipeline=pipeline, **kwargs)
    return DATASETS.build(dict(type='ViewsDataset', dataset=dataset, views=VIEWS))


@pytest.fixture
def demo():
    return ViewsDataset(dict(type='DemoDataset', num_samples=20), VIEWS)


@pytest.mark.parametrize('with_label', [True, False])
def test_folders_of_images(folder, with_label):
    views = build(folder, with_label=with_label)
    assert len(views) == 6
    sample = views[3]
    assert sample['global_crops'].shape == (2, 3, 48, 48)
    assert sample['local_crops'].shape == (4, 3, 24, 24)
    assert sample['global_crops'].dtype == sample['local_crops'].dtype == torch.uint8
    assert sample['position'] == 3


def test_flat_folder(folder):
    assert len(build(folder / 'class_0', with_label=False)) == 3


def test_crops_are_rgb(tmp_path):
    path = tmp_path / 'red.png'
    cv2.imwrite(str(path), np.full((40, 40, 3), (0, 0, 255), dtype=np.uint8))  # OpenCV: B, G, R
    plain = dict(jitter=0.0, grayscale=0.0, blur=0.0, solarize=0.0)
    views = ViewsDataset(
        dict(
            type='mmpretrain.CustomDataset',
            data_root=str(tmp_path),
            with_label=False,
            pipeline=LOAD,
        ),
        {kind: {**view, **plain} for kind, view in VIEWS.items()},
    )
    for crops in (views[0]['global_crops'], views[0]['local_crops']):
        assert (crops[:, 0] == 255).all()
        assert (crops[:, 1:] == 0).all()


def test_views_follow_seed_and_position_alone(demo):
    first = demo[Draw(4, 17, 1)]
    np.random.seed(0)
    demo[5]
    again = demo[Draw(4, 17, 1)]
    for name in ('global_crops', 'local_crops'):
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], demo[Draw(4, 18, 1)][name])
        assert not torch.equal(first[name], demo[Draw(4, 17, 2)][name])
    assert torch.equal(demo[7]['local_crops'], demo[7, 7]['local_crops'])


def test_the_two_global_crops_differ(demo):
    first, second = demo[0]['global_crops']
    assert not torch.equal(first, second)


def loader(demo, num_workers, skipped=0):
    sampler = SeededInfiniteSampler(demo, seed=2)
    sampler.skip(skipped)
    collate = partial(multi_crop_collate, grid=(6, 6), mask_ratio=(0.1, 0.5))
    return iter(DataLoader(demo, 4, sampler=sampler, num_workers=num_workers, collate_fn=collate))


def test_same_batches_for_any_number_of_workers_and_after_a_resume(demo):
    batches = loader(demo, 0)
    whole = [next(batches)['inputs'] for _ in range(6)]
    workers = loader(demo, 2)
    resumed = loader(demo, 2, skipped=16)
    for number, expected in enumerate(whole):
        others = [next(workers)] + ([next(resumed)] if number >= 4 else [])
        for other in others:
            for name, value in expected.items():
                assert torch.equal(value, other['inputs'][name]), name


def test_builds_from_a_runners_config():
    data_loader = Runner.build_dataloader(
        dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='SeededInfiniteSampler'),
            collate_fn=dict(type='poa_mm.multi_crop_collate', grid=(6, 6), mask_ratio=(0.1, 0.5)),
            dataset=dict(type='ViewsDataset', dataset=dict(type='DemoDataset', num_samples=4), views=VIEWS),
        ),
        seed=0,
    )
    inputs = next(iter(data_loader))['inputs']
    assert inputs['global_crops'].shape == (4, 3, 48, 48)
    assert inputs['local_crops'].shape == (8, 3, 24, 24)
    assert inputs['masks'].shape == (4, 36)


def test_missing_folder_is_told_at_once(tmp_path):
    with pytest.raises(ValueError, match=r'nowhere.*does not exist: set data_root'):
        build(tmp_path / 'nowhere', with_label=False)


def test_a_folder_without_images_and_a_file_are_told(tmp_path):
    with pytest.raises(ValueError, match='holds no images: set data_root'):
        build(tmp_path, with_label=False)
    (tmp_path / 'file').touch()
    with pytest.raises(ValueError, match='is not a folder: set data_root'):
        build(tmp_path / 'file', with_label=False)


def test_missing_file_is_told_with_its_path(folder):
    views = build(folder)
    (folder / 'class_0' / '0.png').unlink()
    with pytest.raises(ValueError, match=r'cannot read image .*class_0/0\.png'):
        views.load(0)


@pytest.mark.parametrize('content', [b'', b'no picture'])
def test_unreadable_image_is_told_with_its_path(folder, content):
    (folder / 'class_0' / '0.png').write_bytes(content)
    with pytest.raises(ValueError, match=r'cannot read image .*class_0/0\.png'):
        build(folder).load(0)


def test_the_next_image_takes_the_place_of_an_unreadable_one(folder, monkeypatch):
    told = []
    monkeypatch.setattr('poa_mm.datasets.views.print_log', lambda text, *args: told.append(text))
    views = build(folder)
    expected = views[Draw(1, 7, 3)]
    (folder / 'class_0' / '0.png').write_bytes(b'no picture')
    found = views[Draw(0, 7, 3)]
    assert torch.equal(found['global_crops'], expected['global_crops']) and found['position'] == 7
    assert len(told) == 1 and 'class_0/0.png' in told[0]
    for path in folder.rglob('*.png'):
        path.write_bytes(b'no picture')
    with pytest.raises(ValueError, match='cannot read image'):
        views[0]


def test_missing_loading_step_is_told(folder):
    with pytest.raises(ValueError, match='LoadImageFromFile'):
        build(folder, pipeline=[])[0]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(local_2=dict(size=24, scale=(0.1, 0.2))), 'local_2'),
        (dict(global_2=dict(size=32, scale=(0.3, 1.0))), '48 px and 1 of 32 px'),
        (dict(global_1=dict(size=48, scale=(0.3, 1.0), number=2)), '2 of 48 px'),
        (dict(local=dict(size=24, scale=(0.1, 0.2), zoom=2)), "unknown 'zoom' in view 'local'"),
    ],
)
def test_bad_views_are_told(change, message):
    with pytest.raises(ValueError, match=message):
        ViewsDataset(dict(type='DemoDataset', num_samples=4), {**VIEWS, **change})

"""The picture of what pre-training sees: as a command, as a hook, through the visualizer's backends."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import VISUALIZERS
from PIL import Image

from poa_mm.registry import HOOKS
from poa_mm.visualization import backends
from poa_mm.visualization.backends import add_backends
from poa_mm.visualization.batch import draw_batch, first_batch, masked_picture
from poa_mm.visualization.canvas import rendered

CONFIG = dict(
    train_dataloader=dict(
        batch_size=4,
        num_workers=0,
        sampler=dict(type='SeededInfiniteSampler'),
        collate_fn=dict(type='poa_mm.multi_crop_collate', grid=(4, 4), mask_ratio=(0.3, 0.6), mask_probability=1.0),
        dataset=dict(
            type='ViewsDataset',
            dataset=dict(type='DemoDataset', num_samples=16, image_size=24),
            views=dict(
                global_1=dict(size=16, scale=(0.32, 1.0)),
                global_2=dict(size=16, scale=(0.32, 1.0)),
                local=dict(size=8, number=2, scale=(0.05, 0.32)),
            ),
        ),
    ),
    randomness=dict(seed=5),
    default_scope='poa_mm',
)


def test_masked_patches_are_grey_and_the_rest_is_the_crop():
    crop = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
    picture = masked_picture(crop, torch.tensor([False, True, False, False]))
    original = crop.permute(1, 2, 0).numpy()
    shown = np.ones((16, 16), bool)
    shown[:8, 8:] = False
    assert (picture[shown] == original[shown]).all()
    assert picture[~shown].min() >= 110 and picture[~shown].max() <= 161


def test_every_crop_is_in_its_images_row():
    inputs = first_batch(Config(CONFIG), 3)
    assert inputs['global_crops'].shape == (6, 3, 16, 16)
    axes = np.array(draw_batch(inputs, 2).axes).reshape(2, 4)
    for i, row in enumerate(axes):
        for cell, j in zip(row[:2], (i, 3 + i)):
            masked = inputs['masks'][j]
            expected = masked_picture(inputs['global_crops'][j], masked)
            assert (cell.images[0].get_array() == expected).all()
            assert cell.get_xlabel() == f'{100 * masked.float().mean():.0f} % masked'
        for v, cell in enumerate(row[2:]):
            expected = inputs['local_crops'][3 * v + i].permute(1, 2, 0).numpy()
            assert (cell.images[0].get_array() == expected).all()


def test_a_config_without_crops_is_refused():
    with pytest.raises(ValueError, match='is not a pre-training config: its train_dataloader has no ViewsDataset'):
        first_batch(Config(dict(train_dataloader=dict(dataset=dict(type='DemoDataset')))), 2)


def visualizer(cfg, folder, name):
    return VISUALIZERS.build({**cfg.visualizer, 'name': name, 'save_dir': str(folder)})


def test_the_hook_writes_once_through_the_backends(tmp_path):
    cfg = Config(dict(visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])))
    runner = SimpleNamespace(visualizer=visualizer(cfg, tmp_path, 'hook'), iter=7)
    hook = HOOKS.build(dict(type='poa_mm.FirstBatchHook', number=2))
    inputs = first_batch(Config(CONFIG), 3)
    hook.before_train(runner)
    for batch in ([dict(inputs=inputs)], [dict(inputs={})]):  # the second is not looked at
        hook.before_train_iter(runner, 0, batch)
    (path,) = (tmp_path / 'vis_data/vis_image').iterdir()
    assert path.name == 'first_batch_7.png'
    assert (np.asarray(Image.open(path)) == rendered(draw_batch(inputs, 2))).all()


def test_the_hook_draws_nothing_without_backends():
    runner = SimpleNamespace(visualizer=SimpleNamespace(_vis_backends={}), iter=0)
    HOOKS.build(dict(type='poa_mm.FirstBatchHook')).before_train_iter(runner, 0, dict(inputs={}))


def test_tensorboard_holds_scalars_and_pictures(tmp_path):
    events = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    cfg = Config(dict(work_dir=str(tmp_path), visualizer=dict(type='Visualizer', vis_backends=[])))
    add_backends(cfg, ['tensorboard', 'tensorboard'])
    assert cfg.visualizer.vis_backends == [dict(type='TensorboardVisBackend')]
    found = visualizer(cfg, tmp_path, 'tensorboard')
    found.add_scalars(dict(loss=1.5), step=3)
    found.add_image('first_batch', np.zeros((8, 8, 3), np.uint8), step=3)
    found.close()
    accumulator = events.EventAccumulator(str(tmp_path / 'vis_data')).Reload()
    assert [(event.step, event.value) for event in accumulator.Scalars('loss')] == [(3, 1.5)]
    assert accumulator.Tags()['images'] == ['first_batch']


def test_weights_and_biases_offline(tmp_path, monkeypatch):
    pytest.importorskip('wandb')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    cfg = Config(dict(work_dir=str(tmp_path / 'my_run'), visualizer=dict(vis_backends=[dict(type='LocalVisBackend')])))
    cfg.visualizer.type = 'Visualizer'
    add_backends(cfg, ['wandb'])
    assert [backend['type'] for backend in cfg.visualizer.vis_backends] == ['LocalVisBackend', 'WandbVisBackend']
    found = visualizer(cfg, tmp_path, 'wandb')
    found.add_scalars(dict(loss=1.5), step=3)
    found.close()
    assert list((tmp_path / 'vis_data/wandb').glob('offline-run-*/*.wandb'))


@pytest.mark.parametrize('name, message', [('aim', 'must be one of'), ('wandb', 'wandb is not installed')])
def test_backends_that_are_not_there(name, message, monkeypatch):
    monkeypatch.setattr(backends, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match=message):
        add_backends(Config(), [name])

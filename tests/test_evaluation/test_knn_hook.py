"""k-NN while training: the numbers of the command, logged, and not a bit of the training changed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from poa_mm.datasets import open_dataset
from poa_mm.evaluation import EvalImages, KnnHook, evaluate_knn
from poa_mm.evaluation.features import FeatureReader
from tests.helpers.networks import VIT
from tests.helpers.processes import in_processes

SIZES = dict(split='train', image_size=24)
CONFIG = dict(
    model=dict(
        type='POA',
        backbone={**VIT, 'drop_path_rate': 0.5},
        head=dict(type='MultiPrototypeHead', num_prototypes=(16, 24), hidden_dims=16, bottleneck_dims=8),
    ),
    train_dataloader=dict(
        batch_size=4,
        num_workers=0,
        sampler=dict(type='SeededInfiniteSampler'),
        collate_fn=dict(type='poa_mm.multi_crop_collate', grid=(2, 2), mask_ratio=(0.1, 0.5)),
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
    optim_wrapper=dict(
        type='PoaOptimWrapper',
        constructor='LayerDecayOptimWrapperConstructor',
        optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.04, fused=True),
    ),
    train_cfg=dict(type='StepTrainLoop', max_iters=5),
    default_hooks=dict(runtime_info=dict(type='LazyRuntimeInfoHook'), checkpoint=None),
    randomness=dict(seed=0),
    default_scope='poa_mm',
    log_level='WARNING',
    visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
    knn=dict(
        train=dict(type='DemoDataset', num_samples=40, **SIZES),
        val=dict(type='DemoDataset', num_samples=24, image_size=24, split='val'),
        ks=(3, 9),
    ),
)
HOOK = dict(type='KnnHook', interval=2, subnets=['named', '24x3'], gallery=30, num_workers=0)


def train(folder, *hooks):
    """Losses of every iteration, final weights, and the runner."""
    hooks = [dict(type='TeacherEMAHook', start=0.5, final=0.9, steps=5), *hooks]
    cfg = Config({**CONFIG, 'custom_hooks': hooks, 'work_dir': str(folder), 'experiment_name': folder.name})
    runner = Runner.from_cfg(cfg)
    runner.train()
    losses, _ = runner.message_hub.get_scalar('train/loss').data
    return losses, runner.model.state_dict(), runner


def test_logged_and_training_undisturbed(tmp_path):
    plain_losses, plain_weights, _ = train(tmp_path / 'without')
    losses, weights, runner = train(tmp_path / 'with', HOOK)
    assert len(losses) == 5 and np.array_equal(losses, plain_losses)
    assert weights.keys() == plain_weights.keys()
    assert all(torch.equal(value, plain_weights[name]) for name, value in weights.items())
    assert runner.model.backbone.training and not runner.model.teacher.backbone.training
    assert not any(parameter.requires_grad for parameter in runner.model.teacher.parameters())

    rows = [json.loads(line) for line in next((tmp_path / 'with').glob('*/vis_data/scalars.json')).open()]
    rows = [row for row in rows if 'knn_16x2' in row]
    assert [row['step'] for row in rows] == [2, 4, 5]
    values, _ = runner.message_hub.get_scalar('val/knn_24x3').data
    assert values.tolist() == [row['knn_24x3'] for row in rows]

    # The last one is what the protocol gives for the final teacher and the evenly chosen gallery.
    backbone = runner.model.teacher.backbone
    train_set, val = (open_dataset(CONFIG['knn'][key]) for key in ('train', 'val'))
    gallery = train_set.get_subset(np.linspace(0, 39, 30).round().astype(int).tolist())
    norm = runner.model.data_preprocessor
    reader = FeatureReader(
        {'': backbone.image_features}, norm.mean.flatten().tolist(), norm.std.flatten().tolist(), 64, 0
    )
    found = evaluate_knn(reader, EvalImages(gallery, 18, 16), EvalImages(val, 18, 16), (3, 9))['']
    assert rows[-1]['knn_32x4'] == max(found.values())


def fake_runner():
    torch.manual_seed(0)
    from poa_mm.registry import MODELS

    model = MODELS.build({'_scope_': 'poa_mm', **CONFIG['model']})
    for parameter in model.teacher.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    logged = {}
    hub = SimpleNamespace(update_scalar=logged.__setitem__)
    quiet = SimpleNamespace(add_scalars=lambda *a, **k: None, info=lambda text: None)
    cfg = Config(dict(knn=CONFIG['knn']))
    return SimpleNamespace(
        model=model, cfg=cfg, iter=1, timestamp='', message_hub=hub, visualizer=quiet, logger=quiet, logged=logged
    )


def evaluate():
    runner = fake_runner()
    hook = KnnHook(**{k: v for k, v in HOOK.items() if k != 'type'}, batch_size=4)
    hook.before_train(runner)
    hook.evaluate(runner)
    return runner.logged


def test_part_of_a_folder(tmp_path):
    """Of three images of each of two classes the outer and the middle ones."""
    for name in 'ab':
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(np.full((20, 20, 3), 40 * i, np.uint8)).save(tmp_path / name / f'{i}.png')
    runner = fake_runner()
    hook = KnnHook(interval=1, train=str(tmp_path), val=str(tmp_path), gallery=4, queries=2, ks=(1,), num_workers=0)
    hook.before_train(runner)
    gallery, queries = hook.images
    assert [gallery.label(i) for i in range(len(gallery))] == [0, 0, 1, 1] and len(queries) == 2
    assert [int(item.image[0, 0, 0]) for item in gallery] == [0, 80, 0, 80]
    hook.evaluate(runner)
    assert runner.logged


def test_two_processes_equal_one():
    one = evaluate()
    assert len(one) == 3 and len(set(one.values())) > 1
    assert in_processes(2, evaluate) == [one, one]


def test_mistakes_show_before_the_training():
    runner = fake_runner()
    with pytest.raises(ValueError, match='interval of KnnHook must be at least 1, got 0'):
        KnnHook(interval=0)
    for options, message in [
        (dict(ks=(3, 50)), r'size of the gallery \(40 images\), got \[3, 50\]'),
        (dict(subnets=['20x2']), 'sub-network 20x2 is not in this space'),
        (dict(train='nowhere', val='nowhere'), "data folder 'nowhere' does not exist"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            KnnHook(interval=1, **options).before_train(runner)

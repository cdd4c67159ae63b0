"""Files that try to run a command, on every way that opens a checkpoint: none of them does."""

import copy
import copyreg
import pickle
import shutil
import warnings
from argparse import Namespace
from contextlib import suppress

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel, BaseModule
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.runner.checkpoint import load_checkpoint as mmengine_load_checkpoint
from torch import nn

from poa_mm.engine.weights_check import check_weights
from poa_mm.errors import UserError
from poa_mm.evaluation.classifiers import open_classifiers
from poa_mm.evaluation.comparison import EvalOptions, open_comparison
from poa_mm.extraction import ExtractedNetwork, export_subnet, load_pretrained, open_network
from poa_mm.files.checkpoint_loader import load_checkpoint
from poa_mm.registry import DATASETS, MODELS
from poa_mm.visualization.networks import open_heads
from tests.helpers.hostile import PAYLOADS, RUN_WHERE_TRUSTED
from tests.helpers.networks import VIT


@pytest.fixture(scope='module')
def valid():
    """What pre-training writes."""
    weights = {f'teacher.backbone.{name}': value for name, value in MODELS.build(VIT).state_dict().items()}
    cfg = Config(dict(model=dict(type='POA', backbone=VIT)))
    meta = dict(cfg=cfg.pretty_text, iter=12, epoch=0, seed=3, experiment_name='tiny', dataset_meta=dict())
    hub = dict(
        log_scalars={'train/loss': HistoryBuffer([1.0, 0.5], [1, 1])},
        runtime_info={'iter': 11},
        resumed_keys={'train/loss': True, 'iter': True},
    )
    return dict(meta=meta, state_dict=weights, message_hub=hub, optimizer=dict(state={}, param_groups=[]))


@pytest.fixture(params=PAYLOADS)
def evil(request, valid, tmp_path):
    """A hostile file, and the file that it creates if it runs."""
    copyreg.add_extension('os', 'system', 240)
    path, marker = tmp_path / 'iter_12.pth', tmp_path / 'ran'
    PAYLOADS[request.param](path, copy.deepcopy(valid), marker)
    yield path, marker
    copyreg.remove_extension('os', 'system', 240)


@pytest.fixture(scope='module')
def runner(tmp_path_factory):
    """Resumes, loads and tests as MMEngine does; its model fits no checkpoint."""

    class Model(BaseModel):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(1, 1)

        def forward(self, x, mode='tensor'):
            return {}

    loader = dict(batch_size=1, dataset=[0], sampler=dict(type='DefaultSampler', shuffle=False), num_workers=0)
    return Runner(
        model=Model(),
        work_dir=str(tmp_path_factory.mktemp('work')),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=False, max_iters=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0)),
        experiment_name='hostile',
        default_scope='poa_mm',
        log_level='ERROR',
    )


def resumes(path, runner):
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.resume(str(path), resume_optimizer=False, resume_param_scheduler=False)


def loads_from(path, runner):
    runner._load_from, runner._has_loaded = str(path), False
    runner.load_or_resume()


def initialises(path, runner):
    class Network(BaseModule):
        def __init__(self):
            super().__init__(init_cfg=dict(type='Pretrained', checkpoint=str(path)))
            self.linear = nn.Linear(1, 1)

    Network().init_weights()


def loads_with_mmengine(path, runner):
    mmengine_load_checkpoint(runner.model, str(path))


def checks_weights(path, runner):
    check_weights(runner.model, str(path))


def opens(path, runner):
    open_network(path)


def extracts(path, runner):
    backbone, source = load_pretrained(path)
    export_subnet(backbone, '32x4', path.parent / 'out', source)
    for config in (path.parent / 'out').glob('*.py'):
        Config.fromfile(config)


@pytest.mark.parametrize(
    'way', [resumes, loads_from, initialises, loads_with_mmengine, checks_weights, opens, extracts, load_checkpoint]
)
def test_no_way_of_opening_a_file_runs_it(way, evil, runner):
    path, marker = evil
    before = set(path.parent.iterdir())
    try:
        way(path, runner) if way is not load_checkpoint else way(path)
    except UserError as error:
        assert '\n' not in str(error)
    assert not marker.exists()
    made = {file.name for file in set(path.parent.iterdir()) - before}
    assert made <= {'out'}


@pytest.mark.parametrize('evil', RUN_WHERE_TRUSTED, indirect=True)
def test_the_payloads_do_run_where_they_are_trusted(evil):
    path, marker = evil
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter('ignore')
        torch.load(path, weights_only=False)
    with open(path, 'rb') as file, suppress(Exception):
        pickle.load(file)
    assert marker.exists()


@pytest.mark.parametrize('evil', RUN_WHERE_TRUSTED, indirect=True)
def test_a_run_refuses_them(evil):
    with pytest.raises(UserError):
        load_checkpoint(evil[0])


def test_what_a_run_needs_is_read_as_torch_reads_it(valid, tmp_path):
    valid = copy.deepcopy(valid)
    valid['message_hub']['runtime_info'].update(
        lr=np.float64(0.1), big=np.arange(6, dtype='>i4').reshape(2, 3).T, flags=np.array([True]), text='é'
    )
    torch.save(valid, tmp_path / 'iter.pth')
    found, expected = load_checkpoint(tmp_path / 'iter.pth'), torch.load(tmp_path / 'iter.pth', weights_only=False)
    assert found['meta'] == expected['meta'] and found.keys() == expected.keys()
    for name, value in expected['state_dict'].items():
        assert torch.equal(found['state_dict'][name], value)
    info, wanted = (contents['message_hub']['runtime_info'] for contents in (found, expected))
    for key, value in wanted.items():
        assert type(info[key]) is type(value) and np.array_equal(info[key], value)
        assert getattr(info[key], 'dtype', None) == getattr(value, 'dtype', None)
    history = found['message_hub']['log_scalars']['train/loss']
    assert type(history) is HistoryBuffer and history.mean() == 0.75 and history.max_length == 1000000
    (tmp_path / 'iter.pth').write_bytes(b'')  # nothing is mapped from it any more
    assert found['state_dict']['teacher.backbone.pos_embed'].isfinite().all()


RUNS = dict(type='runs')


def in_backbone(valid, path):
    save_config(valid, path, dict(type='POA', backbone=RUNS))
    open_network(path)


def in_layer(valid, path):
    save_config(valid, path, dict(type='POA', backbone=dict(VIT, norm_cfg=[RUNS])))
    open_network(path)


def in_head(valid, path):
    weights = {**valid['state_dict'], 'teacher.head.heads.0.weight': torch.zeros(1)}
    save_config(dict(valid, state_dict=weights), path, dict(type='POA', backbone=VIT, head=RUNS))
    open_heads(path, 64)


def in_classifier(valid, path):
    levels = dict(mean=[0.0] * 3, std=[1.0] * 3, to_rgb=True)
    save_config(valid, path, dict(type='ImageClassifier', backbone=RUNS, data_preprocessor=levels))
    open_classifiers(EvalOptions(Config(), [str(path)], options=dict(val='val')), 'robustness', {})


def in_data(valid, path):
    save_config(valid, path, dict(type='POA', backbone=VIT), knn=dict(train=RUNS, val=RUNS))
    open_comparison(EvalOptions(Config(), [str(path)]), 'knn', {})


def in_extracted(valid, path, **changes):
    torch.save(valid, path)
    backbone, source = load_pretrained(path)
    file = export_subnet(backbone, '32x4', path.parent, source)
    contents = torch.load(file)
    contents['meta']['config'].update(changes or RUNS)
    torch.save(contents, file)
    ExtractedNetwork.load(file)


def in_layer_of_extracted(valid, path):
    in_extracted(valid, path, norm_cfg=RUNS)


def of_another_package(valid, path):
    in_extracted(valid, path, type='torchvision.VisionTransformer')


def save_config(valid, path, model, **sections):
    cfg = Config(dict(model=model, **sections))
    torch.save(dict(valid, meta=dict(valid['meta'], cfg=cfg.pretty_text)), path)


@pytest.mark.parametrize(
    'where',
    [in_backbone, in_layer, in_head, in_classifier, in_data, in_extracted, in_layer_of_extracted, of_another_package],
)
def test_a_config_in_a_file_names_no_function(where, valid, tmp_path, monkeypatch):
    """Registries hold functions too: mmpretrain's AutoModelForCausalLM runs what a folder of its argument holds."""
    called = []
    for registry in (MODELS.root, DATASETS.root):
        monkeypatch.setitem(registry.module_dict, 'runs', lambda **arguments: called.append(arguments))
    with pytest.raises(UserError, match=r'a file may not|must be that of a toolbox|of a known family'):
        where(copy.deepcopy(valid), tmp_path / 'iter_12.pth')
    assert not called


def test_parts_that_nothing_reads_are_left_out(valid, tmp_path):
    torch.save(dict(valid, args=Namespace(lr=1)), tmp_path / 'dino.pth')
    assert load_checkpoint(tmp_path / 'dino.pth').keys() == valid.keys()
    torch.save(dict(valid, meta=dict(args=Namespace(lr=1))), tmp_path / 'refused.pth')
    with pytest.raises(UserError, match=r'its part meta\.args holds argparse\.Namespace'):
        load_checkpoint(tmp_path / 'refused.pth')


def test_downloads_are_read_by_the_same_loader(valid, tmp_path, monkeypatch):
    PAYLOADS['os.system'](tmp_path / 'evil.pth', copy.deepcopy(valid), tmp_path / 'ran')
    torch.save(valid, tmp_path / 'good.pth')
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    monkeypatch.setattr(
        torch.hub, 'download_url_to_file', lambda url, path, progress: shutil.copy(tmp_path / url.split('/')[-1], path)
    )
    assert CheckpointLoader.load_checkpoint('https://host/good.pth')['meta']['iter'] == 12
    with pytest.raises(UserError, match=r'message_hub holds posix\.system'):
        CheckpointLoader.load_checkpoint('https://host/evil.pth')
    for address in ('pavi://a', 's3://a', 'cluster:s3://a', 'petrel://a'):
        with pytest.raises(UserError, match='download the file'):
            CheckpointLoader.load_checkpoint(address)
    assert not (tmp_path / 'ran').exists()

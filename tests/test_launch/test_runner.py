"""``poa_mm.launch.runner``: what the command line does to a config."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import mmpretrain
import numpy as np
import pytest
import torch
from mmengine.config import Config

from poa_mm.config import check_names, check_toolboxes, load_config
from poa_mm.config.variables import config_files
from poa_mm.errors import UserError
from poa_mm.launch import build_runner, enable_amp, open_data, prepare_processes, set_resume

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def write(folder, text):
    path = folder / 'some_config.py'
    path.write_text(text)
    return str(path)


def test_options_and_work_dir(tmp_path):
    path = write(tmp_path, "model = dict(depth=2)\ncustom_hooks = [dict(n=1), dict(n=2)]\nwork_dir = 'mine'")
    cfg = load_config(path, {'model.depth': 3, 'custom_hooks.1.n': 5}, None, 'none')
    assert cfg.model.depth == 3 and cfg.custom_hooks[1].n == 5 and cfg.work_dir == 'mine'
    assert load_config(path, {}, 'given', 'none').work_dir == 'given'
    assert load_config(path, {'work_dir': None}, None, 'none').work_dir == 'work_dirs/some_config'


@pytest.mark.parametrize('option', [{'custom_hooks.7.n': 1}, {'model.depth.of': 1}])
def test_option_that_does_not_fit(tmp_path, option):
    path = write(tmp_path, 'model = dict(depth=2)\ncustom_hooks = [dict(n=1)]')
    with pytest.raises(ValueError, match=next(iter(option))):
        load_config(path, option, None, 'none')


@pytest.mark.parametrize(
    'option, message',
    [
        ('subnet.width', 'has no effect: subnet is a variable of '),
        ('batch_siz', "has no 'batch_siz'; near are batch_size"),
        ('modle.depth', "has no 'modle'; near are model"),
    ],
)
def test_option_that_nothing_reads(tmp_path, option, message):
    text = (
        'batch_size = 2\nsubnet = dict(width=1)\nmodel = dict(depth=2)\ntrain_dataloader = dict(batch_size=batch_size)'
    )
    with pytest.raises(UserError, match=message):
        load_config(write(tmp_path, text), {option: 3}, None, 'none')


def test_options_that_have_an_argument_of_their_own(tmp_path):
    path = write(tmp_path, 'model = dict(depth=2)')
    with pytest.raises(UserError, match='takes no launcher: give --launcher'):
        load_config(path, {'launcher': 'mpi'}, None, 'none')
    with pytest.raises(UserError, match='takes no second work_dir: give --work-dir'):
        load_config(path, {'work_dir': 'one'}, 'other', 'none')


def test_misspelt_section(tmp_path):
    base = tmp_path / 'base.py'
    base.write_text('modle = dict(depth=2)')
    with pytest.raises(UserError, match=r"base\.py: nothing reads 'modle'; near are model"):
        load_config(write(tmp_path, "_base_ = 'base.py'\nmodel = dict(depth=3)"), {}, None, 'none')
    load_config(write(tmp_path, "_base_ = 'base.py'\nmodel = _base_.modle"), {}, None, 'none')  # a variable
    with pytest.raises(UserError, match=r'some_config\.py, line 2: '):
        load_config(write(tmp_path, 'model = dict()\nx = ('), {}, None, 'none')


def test_missing_toolbox_is_named(monkeypatch):
    monkeypatch.setattr('poa_mm.config.loading.find_spec', lambda name: None)
    check_toolboxes(Config(dict(model=dict(type='poa_mm.POA', data=[dict(type='Plain')]))))
    for cfg in (dict(default_scope='mmseg'), dict(model=dict(neck=[dict(type='mmseg.FPN')]))):
        with pytest.raises(ValueError, match='pip install onedl-mmsegmentation'):
            check_toolboxes(Config(cfg))


ADAMW = dict(type='AdamW', lr=1e-3)
ON_CPU = dict(type='poa_mm.PoaOptimWrapper', amp_dtype='bfloat16', optimizer=dict(ADAMW, fused=True))


@pytest.mark.parametrize(
    ('before', 'gpu', 'after'),
    [
        (dict(), True, dict(type='AmpOptimWrapper', loss_scale='dynamic')),
        (dict(type='OptimWrapper'), True, dict(type='AmpOptimWrapper', loss_scale='dynamic')),
        (dict(type='AmpOptimWrapper', loss_scale=2.0), True, dict(type='AmpOptimWrapper', loss_scale=2.0)),
        (dict(type='poa_mm.PoaOptimWrapper'), True, dict(type='poa_mm.PoaOptimWrapper', amp_dtype='bfloat16')),
        (dict(type='PoaOptimWrapper', amp_dtype='float16'), True, dict(type='PoaOptimWrapper', amp_dtype='float16')),
        (dict(type='poa_mm.PoaOptimWrapper'), False, dict(type='poa_mm.PoaOptimWrapper', amp_dtype='bfloat16')),
        (dict(optimizer=ADAMW), False, ON_CPU),
        (dict(type='AmpOptimWrapper', optimizer=ADAMW, loss_scale=2.0, dtype='float16'), False, ON_CPU),
    ],
)
def test_amp(before, gpu, after, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    cfg = Config(dict(optim_wrapper=before))
    enable_amp(cfg)
    assert cfg.optim_wrapper == after


@pytest.mark.parametrize('wrapper', [dict(type='ApexOptimWrapper'), dict(optimizer=dict(type='SGD', lr=0.1))])
def test_amp_that_cannot_be(wrapper, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=r"'ApexOptimWrapper'|Adam or AdamW, not 'SGD'"):
        enable_amp(Config(dict(optim_wrapper=wrapper)))


def test_resume(tmp_path):
    start = dict(work_dir=str(tmp_path), load_from='pretrained.pth')
    cfg = Config(dict(start))
    set_resume(cfg, 'auto')
    assert not cfg.resume and cfg.load_from == 'pretrained.pth'

    newest = tmp_path / 'iter_2.pth'
    (tmp_path / 'last_checkpoint').write_text(str(newest))
    with pytest.raises(ValueError, match='iter_2'):
        set_resume(Config(dict(start)), 'auto')
    newest.touch()
    with pytest.raises(ValueError, match=r'all 1 checkpoints in .* are damaged; of iter_2\.pth'):
        set_resume(Config(dict(start)), 'auto')
    torch.save(dict(state_dict={}, meta={}), newest)
    with pytest.raises(ValueError, match=r'iter_2\.pth holds weights alone'):
        set_resume(Config(dict(start)), 'auto')
    torch.save(dict(state_dict={}, meta={}, message_hub={}), newest)
    for value in ('auto', str(newest)):
        cfg = Config(dict(start))
        set_resume(cfg, value)
        assert cfg.resume and cfg.load_from == str(newest)


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    with pytest.raises(UserError, match='needs RANK, WORLD_SIZE, MASTER_ADDR in the environment'):
        prepare_processes(Config(dict(launcher='pytorch')))
    for name in ('LOCAL_RANK', 'RANK', 'WORLD_SIZE', 'MASTER_ADDR'):
        monkeypatch.setenv(name, '2')
    with pytest.raises(UserError, match='it has only 2'):
        prepare_processes(Config(dict(launcher='pytorch')))
    monkeypatch.delenv('LOCAL_RANK')  # an old launcher gives it as an argument
    with pytest.raises(UserError, match='process 3 of this machine has no GPU'):
        prepare_processes(Config(dict(launcher='pytorch')), 3)


def test_slurm_does_not_need_the_local_rank(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    for name in ('LOCAL_RANK', 'SLURM_PROCID', 'SLURM_NTASKS'):
        monkeypatch.setenv(name, '0')
    monkeypatch.delenv('LOCAL_RANK')
    with pytest.raises(UserError, match='--launcher slurm needs GPUs'):
        prepare_processes(Config(dict(launcher='slurm')))


@pytest.mark.parametrize('path', sorted(CONFIGS.rglob('*.py')), ids=lambda path: path.stem)
def test_no_false_alarm_for_names(path):
    check_names(config_files(path))


def test_hooks_that_every_run_has(monkeypatch, configs_are_not_printed, tmp_path):
    def hooks(**default_hooks):
        cfg = Config.fromfile(CONFIGS / 'poa_demo.py')
        cfg.work_dir, cfg.experiment_name, cfg.log_level = str(tmp_path), f'hooks_{len(default_hooks)}', 'ERROR'
        cfg.default_hooks.update(default_hooks)
        return {type(hook).__name__ for hook in build_runner(cfg).hooks}

    assert {'StartCheckHook', 'InterruptHook', 'FiniteCheckHook', 'IterTimerHook'} <= hooks()
    left_out = hooks(start_check=None, interrupt=None, finite_check=None, timer=None)
    assert not {'StartCheckHook', 'InterruptHook', 'FiniteCheckHook', 'IterTimerHook'} & left_out


def test_a_folder_with_other_classes_than_imagenet(tmp_path):
    for name in ('cat', 'dog'):
        (tmp_path / 'train' / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / 'train' / name / '0.png'), np.zeros((8, 8, 3), np.uint8))

    class Runner:
        cfg = SimpleNamespace(filename='finetune.py')

        @property
        def train_loop(self):
            return mmpretrain.datasets.ImageNet(data_root=str(tmp_path), split='train')

    with pytest.raises(UserError, match=r'finetune.py: The number of subfolders \(2\) .* specified classes \(1000\)'):
        open_data(Runner(), 'train')

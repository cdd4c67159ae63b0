"""Variables of configs set from the command line: everything that is computed from them follows."""

from argparse import ArgumentParser
from pathlib import Path

import pytest

from poa_mm.arguments import add_cfg_options
from poa_mm.config import load_config
from poa_mm.config.recipes import is_config
from poa_mm.errors import UserError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.fixture
def family(tmp_path):
    """A config over two bases in other folders."""
    (tmp_path / 'a/b').mkdir(parents=True)
    (tmp_path / 'a/b/schedule.py').write_text('epoch = 10\nsteps = 3 * epoch\ntrain_cfg = dict(max_iters=steps)\n')
    (tmp_path / 'data.py').write_text(
        "é = data_root = 'never'\n"
        "data_root = 'data/x'; more = dict(  # µ\n    root=data_root,\n)\n"
        "loader = dict(root=data_root, ann=data_root + '/ann.json', here='{{ fileDirname }}/{{fileBasename}}')\n"
    )
    (tmp_path / 'a/config.py').write_text(
        "_base_ = ['b/schedule.py', '../data.py']\n"
        'model = dict(steps=_base_.steps * 2, text={{_base_.loader.root}}, loader=_base_.loader)\n'
        'batch_size = 4\ntrain_dataloader = dict(batch_size=batch_size)\nresume = False\n'
    )
    return str(tmp_path / 'a/config.py')


def test_everything_follows(family, tmp_path):
    options = {'epoch': 2, 'data_root': '/mnt/y', 'batch_size': 8, 'train_dataloader.num_workers': 1, 'resume': True}
    cfg = load_config(family, options, None, 'none')
    assert cfg.train_cfg.max_iters == 6 and cfg.model.steps == 12 and cfg.epoch == 2
    assert cfg.train_dataloader == dict(batch_size=8, num_workers=1) and cfg.resume is True
    here = f'{tmp_path.resolve()}/data.py'
    assert cfg.loader == cfg.model.loader == dict(root='/mnt/y', ann='/mnt/y/ann.json', here=here)
    assert cfg.model.text == '/mnt/y' and cfg.more == dict(root='/mnt/y')
    assert cfg.filename == family and cfg.work_dir == 'work_dirs/config'
    # A computed variable can be set itself.
    cfg = load_config(family, {'steps': 7}, None, 'none')
    assert (cfg.train_cfg.max_iters, cfg.model.steps, cfg.epoch) == (7, 14, 10)
    # A section stays a section, merged: nothing else follows.
    cfg = load_config(family, {'train_cfg.max_iters': 5}, None, 'none')
    assert (cfg.train_cfg.max_iters, cfg.model.steps) == (5, 60)


def test_without_workers_nothing_concerns_them(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text('train_dataloader = dict(num_workers=2, persistent_workers=True, prefetch_factor=4)')
    assert len(load_config(str(path), {}, None, 'none').train_dataloader) == 3
    cfg = load_config(str(path), {'train_dataloader.num_workers': 0}, None, 'none')
    assert cfg.train_dataloader == dict(num_workers=0)


@pytest.mark.parametrize(
    ('name', 'expected'),
    [('poa_demo', True), ('eval/finetune_vits', True), ('my.py', True), ('poa_dem', False), ('a/iter_5.pth', False)],
)
def test_what_is_a_config(name, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_config(name) is expected
    (tmp_path / 'poa_demo').mkdir()  # a folder of images has precedence
    assert is_config('poa_demo') is False


def test_other_values_change_nothing_else(family):
    same = load_config(family, {'epoch': 10, 'batch_size': 4}, None, 'none')
    assert same._cfg_dict == load_config(family, {}, None, 'none')._cfg_dict


def test_numbers_and_names(family):
    with pytest.raises(UserError, match=r"batch_size must be a number, as 4 in .*config\.py, got 'four'"):
        load_config(family, {'batch_size': 'four'}, None, 'none')
    Path(family).write_text(Path(family).read_text() + 'fused = True\nmore_data = dict(fused=fused)\n')
    with pytest.raises(UserError, match=r"fused must be True or False, as True in .*config\.py, got 'maybe'"):
        load_config(family, {'fused': 'maybe'}, None, 'none')
    assert load_config(family, {'fused': False}, None, 'none').more_data == dict(fused=False)
    with pytest.raises(UserError, match=r'base\.py.* does not exist'):
        Path(family).write_text("_base_ = 'base.py'")
        load_config(family, {}, None, 'none')


@pytest.mark.parametrize('text', ['2017', '007', '1e3', 'true', '"1.50"'])
def test_a_text_stays_as_it_was_typed(family, text):
    parser = ArgumentParser()
    add_cfg_options(parser)
    options = parser.parse_args(['--cfg-options', f'data_root={text}']).cfg_options
    assert isinstance(options['data_root'], int | float)
    assert load_config(family, options, None, 'none').loader.root == text.strip('"')
    assert load_config(family, {'data_root': 2017}, None, 'none').loader.root == '2017'


def test_values_take_the_places_of_the_old_ones(tmp_path):
    path = tmp_path / 'config.py'
    # Python's lines end in neither of these two characters.
    path.write_text("s = 'p\u2028q\\\n\x0c'\na = 1; b = 2\nc = 3\nmodel = dict(a=a, b=b, c=c, s=s)\n", encoding='utf-8')
    cfg = load_config(str(path), {'a': 10, 'b': 200, 'c': 3000}, None, 'none')
    assert cfg.model == dict(a=10, b=200, c=3000, s='p\u2028q\x0c')


def test_pipelines_are_variables(tmp_path):
    name = 'eval/finetune_vit_small'
    cfg = load_config(name, {'test_pipeline': [dict(type='LoadImageFromFile')]}, None, 'none')
    assert cfg.val_dataloader.dataset.pipeline == [dict(type='LoadImageFromFile')]
    with pytest.raises(UserError, match=r'train_pipeline\.1\.scale has no effect: train_pipeline is a variable'):
        load_config(name, {'train_pipeline.1.scale': 64}, None, 'none')
    cfg.dump(tmp_path / 'dumped.py')
    assert load_config(str(tmp_path / 'dumped.py'), {}, None, 'none').test_pipeline == cfg.test_pipeline
    with pytest.raises(UserError, match=r'test_pipeline has no effect: no line of .*dumped\.py reads this variable'):
        load_config(str(tmp_path / 'dumped.py'), {'test_pipeline': []}, None, 'none')


@pytest.mark.parametrize('content', [b'a = "\xff"', b'a = 1\0'])
def test_what_is_not_python(tmp_path, content):
    (tmp_path / 'config.py').write_bytes(content)
    with pytest.raises(UserError, match=r'config\.py'):
        load_config(str(tmp_path / 'config.py'), {}, None, 'none')


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem)
def test_steps_of_the_recipes(path):
    cfg = load_config(str(path), {'steps': 123457}, None, 'none')
    assert cfg.train_cfg.max_iters % 123457 == 0
    assert {schedule.steps for schedule in cfg.param_scheduler} == {123457}


def lengths(cfg):
    schedules = [schedule[key] for schedule in cfg.param_scheduler for key in ('steps', 'warmup') if key in schedule]
    return [cfg.train_cfg.max_iters, cfg.default_hooks.checkpoint.interval, *schedules]


@pytest.mark.parametrize(
    'path', [p for p in sorted(CONFIGS.glob('*.py')) if 'epoch' in p.read_text()], ids=lambda p: p.stem
)
def test_epoch_of_the_recipes(path):
    given, longer = (load_config(str(path), options, None, 'none') for options in ({}, {'epoch': 9973}))
    assert [steps * 9973 for steps in lengths(given)] == [steps * given.epoch for steps in lengths(longer)]

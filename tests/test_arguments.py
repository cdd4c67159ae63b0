"""Values of ``--cfg-options``, checked against MMEngine's reading of the same text where it has one."""

import os
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

import pytest
from mmengine.config import DictAction

from poa_mm.arguments import add_cfg_options, parse_value, result_file, result_file_ending, result_folder, work_dir

AS_MMENGINE = (
    *('1', '-1', '1e-3', '.5', 'true', 'False', 'None', 'abc', 'data/my_images', '/mnt/a-b/x.pth', 'iter_5.pth'),
    *('1,2', 'a,b', '[1,2]', '(1,2)', '[a,b]', '(1,)', '[(1,2),(3,4)]', '"(12,18)"', "'text'", '[true,None]', 'a=b'),
    *('1/2', '3-0', 'none', 'S', '512x16', '0x', 'poa_mm.AdamW', '[a/b.jpg,c.jpg]', 'a@b', '$width', '"[1,2]"', 'a#b'),
)


@pytest.mark.parametrize('text', AS_MMENGINE)
def test_as_mmengine(text):
    ours, theirs = ArgumentParser(), ArgumentParser()
    add_cfg_options(ours)
    theirs.add_argument('--cfg-options', nargs='+', action=DictAction)
    found, expected = (parser.parse_args(['--cfg-options', f'a.b={text}']).cfg_options for parser in (ours, theirs))
    assert found == expected and type(found['a.b']) is type(expected['a.b'])


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ("dict(type='SinkhornKnopp', num_iters=3)", dict(type='SinkhornKnopp', num_iters=3)),
        ('dict(type=SinkhornKnopp,sizes=[1,-2])', dict(type='SinkhornKnopp', sizes=[1, -2])),
        ("{'a': dict(b=None), 'c': (True, 1.5)}", dict(a=dict(b=None), c=(True, 1.5))),
        ('__import__("os").getcwd()', '__import__("os").getcwd()'),
        ('[dict(**a)]', ['dict(**a)']),
        ('2024_01', '2024_01'),
        ('[1_0,{2_0:3}]', ['1_0', {'2_0': 3}]),
        ("{'x':{[1]:2}}", {'x': '{[1]:2}'}),
        ('{1:-2,a.b:...}', {1: -2, 'a.b': '...'}),
        ('...', '...'),
        ('[b"x",1j]', ['b"x"', '1j']),
        ('', ''),
    ],
)
def test_dicts_and_what_is_only_text(text, value):
    assert parse_value(text) == value


def test_options_add_up(capsys):
    parser = ArgumentParser()
    add_cfg_options(parser)
    args = parser.parse_args(['--cfg-options', 'a=1', 'b=x=y', '--cfg-options', 'a=2', 'c='])
    assert args.cfg_options == dict(a=2, b='x=y', c='') and args.cfg_options.texts == dict(a='2', b='x=y', c='')
    assert parser.parse_args([]).cfg_options == parser.parse_args([]).cfg_options.texts == {}
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', 'lr'])
    assert "--cfg-options takes KEY=VALUE, got 'lr'" in capsys.readouterr().err


def test_result_file_ending(tmp_path):
    kind = result_file_ending('.json', '.pkl')
    assert kind(f'{tmp_path}/new/x.pkl').endswith('x.pkl') and (tmp_path / 'new').is_dir()
    with pytest.raises(Exception, match=r'must end in \.json or \.pkl'):
        kind('x.txt')


@pytest.mark.parametrize(
    ('kind', 'text', 'message'),
    [
        (result_folder, 'notes.txt', 'cannot write into notes.txt: {}/notes.txt is a file, not a folder'),
        (result_folder, 'notes.txt/a/b', 'cannot write into notes.txt/a/b: {}/notes.txt is a file, not a folder'),
        (result_file, 'notes.txt/x.json', 'cannot write into notes.txt: {}/notes.txt is a file, not a folder'),
        (result_file, 'folder', 'folder is a folder, not a file'),
        (work_dir, 'notes.txt/a', 'cannot write into notes.txt/a: {}/notes.txt is a file, not a folder'),
        *((kind, '', "must be a path, got ''") for kind in (result_folder, result_file, work_dir)),
    ],
)
def test_places_where_nothing_can_be_written(tmp_path, monkeypatch, kind, text, message):
    monkeypatch.chdir(tmp_path)
    Path('notes.txt').write_text('')
    Path('folder').mkdir()
    with pytest.raises(ArgumentTypeError) as refused:
        kind(text)
    assert str(refused.value) == message.format(os.getcwd())
    assert sorted(os.listdir()) == ['folder', 'notes.txt']

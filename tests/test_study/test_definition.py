"""A study's file: what is read from it, and mistakes in it as sentences."""

import pytest

from poa_mm.errors import UserError
from poa_mm.study.definition import Study

STUDY = """
title: Sizes
seeds: [0, 1]
judge: {subnets: [64x2, 128x5], knn: {k: [3]}}
options: {steps: 4, data_root: '{images}'}
runs:
  poa: {label: one run, recipe: poa_demo, options: {steps: 2}}
  alone:
    recipe: poa_demo
    each:
      64x2: {model.backbone.widths: [64]}
      128x5:
  files:
    command: 'poa extract {poa} --subnets {size} --out {folder} {options}'
    output: '{size}.pth'
    judged: false
    each: {64x2: }
  seed: {recipe: seed_vit_small, options: {teacher_file: '{files/64x2}'}}
compare: [[poa, alone]]
picture: [poa, alone]
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / 'study.yaml').write_text(text)
        return Study.read(tmp_path / 'study.yaml')

    return read


def test_runs_take_shared_options_and_those_of_their_size(read):
    study = read(STUDY)
    poa, small, large, files, seed = study.runs
    assert (poa.name, poa.options, poa.subnets) == ('poa', {'steps': 2, 'data_root': '{images}'}, ['64x2', '128x5'])
    assert (small.name, small.row, small.stem, small.subnets) == ('alone/64x2', 'alone', 'alone-64x2', ['intact'])
    assert small.options == {'steps': 4, 'data_root': '{images}', 'model.backbone.widths': [64]}
    assert large.options == {'steps': 4, 'data_root': '{images}'}
    assert files.command == ['poa', 'extract', '{poa}', '--subnets', '64x2', '--out', '{folder}', '{options}']
    assert files.placeholders() == {'poa', 'folder', 'options', 'images'}
    assert files.output == '64x2.pth' and not files.judged
    assert files.options == {'steps': 4, 'data_root': '{images}'}
    assert seed.placeholders() == {'files/64x2', 'images'}
    assert study.labels == {'poa': 'one run', 'alone': 'alone', 'files': 'files', 'seed': 'seed'}
    assert study.judge == {'knn': {'k': [3]}} and study.compare == [('poa', 'alone')]


def test_base_lies_below_and_options_are_merged(read, tmp_path):
    (tmp_path / 'base.yaml').write_text('seeds: [5]\noptions: {steps: 9, batch_size: 2}\njudge: {knn: {}}')
    study = read(STUDY.replace('seeds: [0, 1]', 'base: base.yaml'))
    assert study.seeds == [5] and study.judge == {'knn': {'k': [3]}}
    assert study.runs[2].options == {'steps': 4, 'batch_size': 2, 'data_root': '{images}'}
    with pytest.raises(UserError, match=r"missing\.yaml' cannot be read"):
        read(STUDY.replace('seeds: [0, 1]', 'base: missing.yaml'))


def test_only_takes_rows_runs_and_what_they_need(read):
    study = read(STUDY)
    assert [run.name for run in study.chosen(['seed'])] == ['poa', 'files/64x2', 'seed']
    assert [run.name for run in study.chosen(['alone'])] == ['alone/64x2', 'alone/128x5']
    assert [run.name for run in study.chosen(['alone/128x5', 'poa'])] == ['poa', 'alone/128x5']
    assert study.chosen([]) == study.runs
    with pytest.raises(UserError, match="--only names 'alon', which does not exist; near are alone"):
        study.chosen(['alon'])


@pytest.mark.parametrize(
    'old, new, message',
    [
        ('seeds: [0, 1]', 'seed: [0]', r"unknown keys \['seed'\]: allowed are"),
        ('seeds: [0, 1]', 'seeds: 3', 'must be a list of whole numbers, got 3'),
        ('title: Sizes', '', 'study.yaml lacks title'),
        ('title: Sizes', 'title: [', 'is not YAML'),
        ('label: one run', 'lable: one run', r"run poa has unknown keys \['lable'\]"),
        ('recipe: poa_demo, options', 'options', 'run poa needs a recipe, or a command and its output'),
        ("output: '{size}.pth'", '', 'run files needs a recipe, or a command and its output'),
        ('[[poa, alone]]', '[[poa, alones]]', "compares or draws 'alones', which does not exist; near are alone"),
        ('[[poa, alone]]', '[[poa]]', r"compare of .* must be a list of pairs of rows, got \[\['poa'\]\]"),
        ('[[poa, alone]]', '[1]', r'compare of .* must be a list of pairs of rows, got \[1\]'),
        ('picture: [poa, alone]', 'picture: [[poa]]', 'picture of .* must be a list of texts'),
        ('seeds: [0, 1]', 'seeds: [true]', r'must be a list of whole numbers, got \[True\]'),
        ('seeds: [0, 1]', 'seeds: []', r'must be a list of whole numbers, got \[\]'),
        ('seeds: [0, 1]', 'values: [a]', r"values of .* must be a mapping with texts as keys, got \['a'\]"),
        ('knn: {k: [3]}', 'knn: [1]', r'knn of judge of .* must be a mapping with texts as keys, got \[1\]'),
        ('subnets: [64x2, 128x5]', 'subnets: intact', "subnets of judge of .* must be a list of texts, got 'intact'"),
        ('options: {steps: 4,', 'options: [1] #', 'options of .* must be a mapping'),
        ('options: {steps: 2}', 'options: [1]', 'options of run poa must be a mapping'),
        ('options: {steps: 2}', 'subnets: intact', "subnets of run poa must be a list of texts, got 'intact'"),
        ('each: {64x2: }', 'each: [64x2]', 'each of run files must be a mapping'),
        ('each: {64x2: }', 'each: {64x2: 3}', '64x2 of run files must be a mapping with texts as keys, got 3'),
        ('each: {64x2: }', 'each: {64: }', r'each of run files must be a mapping with texts as keys, got \{64: None\}'),
        ("command: 'poa", 'command: [poa] #', 'command of run files must be a text'),
        ('judged: false', 'judged: 0', 'judged of run files must be true or false, got 0'),
        (
            '  seed: {',
            '  files-64x2: {recipe: poa_demo}\n  seed: {',
            'the runs files/64x2 and files-64x2, whose',
        ),
        ('title: Sizes', 'base: study.yaml', 'study.yaml is a base of itself'),
        ('title: Sizes', 'title: 2024-13-01', 'is not YAML'),
        ('{files/64x2}', '{files}', "run seed of .* uses 'files', which does not exist; near are file, files/64x2"),
        (', knn: {k: [3]}', '', 'names no protocol: allowed are knn, linear'),
    ],
)
def test_mistakes_are_sentences(read, old, new, message):
    assert old in STUDY
    with pytest.raises(UserError, match=message):
        read(STUDY.replace(old, new, 1))


def test_what_is_not_text_is_not_a_study(tmp_path):
    (tmp_path / 'study.yaml').write_bytes(b'\x80\x02}q\x00.')
    with pytest.raises(UserError, match='is not YAML'):
        Study.read(tmp_path / 'study.yaml')


def test_a_ring_of_bases_is_refused(read, tmp_path):
    (tmp_path / 'other.yaml').write_text('base: study.yaml')
    with pytest.raises(UserError, match=r'study\.yaml is a base of itself'):
        read(STUDY + 'base: other.yaml')


def test_a_run_uses_only_runs_above_it(read):
    with pytest.raises(UserError, match=r"run early of .* uses 'poa', which does not exist"):
        read(STUDY.replace('runs:', 'runs:\n  early: {command: "poa extract {poa}", output: a.pth}'))

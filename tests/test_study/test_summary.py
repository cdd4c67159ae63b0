"""Means, standard errors and paired differences against formulas written out; the page and the pictures."""

import json
from dataclasses import replace
from math import sqrt

import pytest
from PIL import Image

from poa_mm.errors import UserError
from poa_mm.study.definition import Run, Study
from poa_mm.study.picture import plot_gains, plot_sizes
from poa_mm.study.report import report
from poa_mm.study.results import read_results
from poa_mm.study.summary import Estimate, Summary

KNN = {
    'poa': {'64x2': [60.0, 62.0, 61.0], '128x5': [66.0, 65.0, 70.0]},
    'alone/64x2': {'64x2': [59.0, 58.0, 60.0]},
    'alone/128x5': {'128x5': [66.0, 66.0]},  # two seeds
}
PARAMS = {'64x2': 1000, '128x5': 5000}


def make_run(name):
    row = name.split('/')[0]
    return Run(name, row, 'poa_demo', {}, [], '', ['intact'], False, True)


@pytest.fixture
def study():
    return Study(
        title='Sizes',
        seeds=[0, 1, 2],
        runs=[make_run(name) for name in KNN],
        labels={'poa': 'POA', 'alone': 'alone'},
        judge={'knn': {}, 'linear': {}},
        compare=[('poa', 'alone')],
        picture=['poa', 'alone'],
    )


@pytest.fixture
def folder(study, tmp_path):
    for run in study.runs:
        for seed in range(max(map(len, KNN[run.name].values()))):
            accuracy = {size: values[seed] for size, values in KNN[run.name].items()}
            content = dict(run=run.name, seed=seed, steps=10, images=640, gallery=100, queries=50, classes=5)
            content.update(params={s: PARAMS[s] for s in accuracy}, accuracy=dict(knn=accuracy, linear=accuracy))
            (tmp_path / f'{run.stem}-seed{seed}.json').write_text(json.dumps(content))
    return tmp_path


def test_mean_and_standard_error():
    found = Estimate.of([60.0, 62.0, 61.0])
    assert found == (61.0, pytest.approx(sqrt((1 + 1 + 0) / 2 / 3)), 3) and found.text() == '61.0 ± 0.6'
    assert Estimate.of([60.0]) == (60.0, None, 1) and Estimate.of([60.0]).text(sign=True) == '+60.0'
    assert Estimate(1.0, 0.5, 3).ahead and not Estimate(0.9, 0.5, 3).ahead
    assert not Estimate(9.0, None, 1).ahead and not Estimate(-2.0, 0.5, 3).ahead and not Estimate(0.0, 0.0, 2).ahead


def test_differences_are_paired_by_seed(study, folder):
    summary = Summary(study, read_results(folder, study), 'knn')
    assert summary.sizes == ['64x2', '128x5']
    gains = summary.gains('poa', 'alone')
    assert gains['64x2'] == (pytest.approx((1 + 4 + 1) / 3), pytest.approx(1.0), 3)  # s = sqrt(3)
    assert gains['128x5'] == (pytest.approx(-0.5), pytest.approx(0.5), 2)  # 0 and -1, seeds 0 and 1
    # The mean over sizes of the seeds that have all sizes: (1 + 0) / 2 and (4 - 1) / 2.
    assert gains['mean'] == (pytest.approx(1.0), pytest.approx(0.5), 2)
    assert summary.gains('poa', 'nothing') == {}


def test_the_page_has_a_row_for_each_row_and_comparison(study, folder):
    files = report(study, folder)
    assert [file.name for file in files] == ['table.md', 'sizes.png', 'gains.png']
    lines = files[0].read_text().splitlines()
    cells = {
        line.split('|')[1].strip(): [cell.strip() for cell in line.split('|')[2:-1]] for line in lines if '|' in line
    }
    assert cells['POA'] == ['61.0 ± 0.6', '67.0 ± 1.5', '64.0 ± 0.8', '3', '']
    assert cells['alone'] == ['59.0 ± 0.6', '66.0 ± 0.0', '62.2 ± 0.2', '2 to 3', '']
    assert cells['POA − alone'] == ['+2.0 ± 1.0', '-0.5 ± 0.5', '+1.0 ± 0.5', '2 to 3', '1 of 2']
    assert '8 runs; 50 images classified among 100, 5 classes' in files[0].read_text()
    for file in files[1:]:
        assert len(set(Image.open(file).convert('RGB').getdata())) > 20


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn, instead of their files."""
    drawn = []
    monkeypatch.setattr('poa_mm.study.picture.save_figure', lambda figure, path: drawn.append(figure))
    return drawn


def make_result(**accuracy):
    return dict(params=PARAMS, accuracy=accuracy, classes=5)


def test_protocols_of_other_comparisons_share_one_list_of_rows(study, figures):
    study = replace(
        study,
        runs=[make_run(name) for name in 'abc'],
        labels=dict(a='A', b='B', c='C'),
        compare=[('a', 'b'), ('a', 'c')],
        judge={'linear': {}, 'knn': {}},
    )
    values = {'a': 5.0, 'b': 4.0, 'c': 2.0}
    results = {n: {0: make_result(knn={'64x2': v}, linear={'64x2': v} if n != 'b' else {})} for n, v in values.items()}
    plot_gains(study, results, 'unused')
    linear, knn = figures[0].axes
    rows = {text.get_text(): place for place, text in zip(linear.get_yticks(), linear.get_yticklabels())}
    assert rows.keys() == {'A − B', 'A − C'}
    expected = {(rows['A − B'], 1.0), (rows['A − C'], 3.0)}
    assert {(y, x) for mean in knn.containers for x, y in mean.lines[0].get_xydata()} == expected
    assert [mean.lines[0].get_xydata().tolist() for mean in linear.containers] == [[[3.0, rows['A − C']]]]


def test_no_mean_is_drawn_where_no_seed_has_all_sizes(study, figures):
    results = {
        'poa': {seed: make_result(knn={'64x2': 60.0, '128x5': 70.0}) for seed in (0, 1)},
        'alone/64x2': {0: make_result(knn={'64x2': 50.0})},
        'alone/128x5': {1: make_result(knn={'128x5': 69.0})},
    }
    study = replace(study, judge={'knn': {}})
    plot_gains(study, results, 'unused')
    (axes,) = figures[0].axes
    assert not axes.containers and axes.collections[0].get_offsets()[:, 0].tolist() == [10.0, 1.0]
    results['alone/128x5'][0] = make_result(knn={'128x5': 69.0})
    plot_gains(study, results, 'unused')
    (mean,) = figures[1].axes[0].containers
    assert mean.lines[0].get_xydata().tolist() == [[5.5, 0.0]]


def test_every_row_is_drawn_and_looks_its_own(study, figures):
    names = [f'row{number}' for number in range(16)]
    study = replace(study, runs=list(map(make_run, names)), labels={name: name for name in names}, picture=names)
    plot_sizes(study, {name: {0: make_result(knn={'64x2': 60.0})} for name in names}, 'unused')
    lines = [bar.lines[0] for bar in figures[0].axes[0].containers]
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 16
    assert [text.get_text() for text in figures[0].axes[0].get_legend().get_texts()] == names


def test_a_row_that_lacks_a_size_has_no_mean(study, folder):
    for path in folder.glob('alone-128x5*'):
        path.unlink()
    summary = Summary(study, read_results(folder, study), 'knn')
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in summary.table().splitlines()]
    assert rows[2][1:4] == ['61.0 ± 0.6', '67.0 ± 1.5', '64.0 ± 0.8'] and rows[3][1:4] == ['59.0 ± 0.6', '', '']


def test_results_of_other_runs_are_left_out(study, folder):
    (folder / 'poa-seed7.json').write_text('{}')
    with pytest.raises(UserError, match=r'poa-seed7\.json is not a result of poa study'):
        read_results(folder, study)
    with pytest.raises(UserError, match='has no results of the runs'):
        report(study, folder / 'none')

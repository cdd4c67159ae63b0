"""Curves are what MMEngine logged."""

import json
from argparse import ArgumentParser

import pytest

from poa_mm.commands import curves as command
from poa_mm.errors import UserError
from poa_mm.visualization.curves import draw_curves, group_curves, read_curves


def write(work_dir, run, rows, tail=''):
    folder = work_dir / run / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('\n'.join(json.dumps(row) for row in rows) + tail)


def test_a_resumed_run_takes_over_at_its_checkpoint(tmp_path):
    write(
        tmp_path, '20260101_000000', [dict(loss=float(s), lr=0.1, step=s, iter=s) for s in (10, 20, 30, 40)], '\n{"lo'
    )
    write(tmp_path, '20260102_000000', [dict(loss=-float(s), step=s) for s in (30, 50)] + [dict(knn_S=61.5, step=50)])
    write(tmp_path, '20260103_000000', [])
    curves = read_curves(tmp_path)
    assert curves == dict(
        loss=([10, 20, 30, 50], [10.0, 20.0, -30.0, -50.0]), lr=([10, 20], [0.1] * 2), knn_S=([50], [61.5])
    )


def test_lines_that_are_no_entries_are_passed_over(tmp_path):
    write(tmp_path, '20260101_000000', [dict(loss=1.0, step=1), 3, [4], dict(loss=2.0), dict(loss=3.0, step='x')])
    with open(tmp_path / '20260101_000000/vis_data/scalars.json', 'ab') as file:
        file.write(b'\n{"loss": \xff\x80}\n{"loss": 5.0, "step": 2}')
    assert read_curves(tmp_path) == dict(loss=([1, 2], [1.0, 5.0]))


def test_panels(tmp_path):
    names = ['knn_64x2', 'loss', 'intact_global', 'elastic_local', 'elastic_patch', 'teacher_temp', 'momentum', 'knn_S']
    rows = [{**dict.fromkeys(names, 1.0), 'momentum': step / 10, 'step': step} for step in (1, 2)]
    write(tmp_path, '20260101_000000', rows)
    curves = read_curves(tmp_path)
    groups = group_curves(curves)
    assert groups == {
        'Total loss': ['loss'],
        'Cross-view loss, other global crop': ['intact_global'],
        'Cross-view loss, local crops': ['elastic_local'],
        'Masked-patch loss': ['elastic_patch'],
        'k-NN accuracy, %': ['knn_64x2', 'knn_S'],
        'Momentum of the teacher': ['momentum'],  # the temperature does not change
    }
    figure = draw_curves(curves, 'run')
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc='left') for axes in panels] == list(groups)
    line = panels[-1].lines[0]
    assert line.get_xydata().tolist() == [[1, 0.1], [2, 0.2]]
    assert [text.get_text() for text in panels[4].get_legend().get_texts()] == ['64x2', 'S']


def test_the_command_writes_a_picture_and_a_page(tmp_path, capsys):
    write(tmp_path / 'run', '20260101_000000', [dict(loss=2.5, step=s) for s in (1, 2)])
    parser = ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args([str(tmp_path / 'run')]))
    assert (tmp_path / 'run/curves.png').is_file()
    page = (tmp_path / 'run/curves.html').read_text()
    assert 'To step 2' in page and 'loss 2.5' in page and 'data:image/png' in page
    with pytest.raises(ValueError, match='holds no curves'):
        command.run(parser.parse_args([str(tmp_path / 'other')]))
    write(tmp_path / 'flat', '20260101_000000', [dict(speed=2.5, size=1, step=s) for s in (1, 2)])
    with pytest.raises(UserError, match='nothing to draw: speed, size did not change'):
        command.run(parser.parse_args([str(tmp_path / 'flat')]))

"""Pictures are written, with what the results hold."""

import pytest
from matplotlib.figure import Figure
from PIL import Image

from poa_mm.reporting.knn_pictures import plot_heat_map, plot_size_curve


def entry(kind, width, depth, best):
    params = 12 * width**2 * (depth if isinstance(depth, int) else sum(depth))
    accuracy = {'10': best, '20': best - 1}
    return dict(
        kind=kind,
        name=f'{width}',
        width=width,
        depth=depth,
        params=params,
        accuracy=accuracy,
        best_k=10,
        best=best,
    )


@pytest.fixture
def results():
    found = [
        entry(kind, w, d, 40.0 + w / 8 + d) for kind in ('pretrained', 'untrained') for w in (16, 32) for d in (2, 3)
    ]
    pixels = dict(
        kind='thumbnails', name='8x8 pixels', params=0, accuracy={'10': 30.0, '20': 29.0}, best_k=10, best=30.0
    )
    return [*found[::-1], pixels]


@pytest.fixture
def figures(monkeypatch):
    saved = []
    original = Figure.savefig
    monkeypatch.setattr(Figure, 'savefig', lambda self, *a, **k: saved.append(self) or original(self, *a, **k))
    return saved


def test_size_curve(results, figures, tmp_path):
    path = plot_size_curve(results, tmp_path / 'new' / 'curve.png', single=[entry('pretrained', 16, 2, 41.0)], k=20)
    assert Image.open(path).width > 500
    axes = figures[0].axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ['pre-trained', 'untrained', 'each trained alone', 'raw pixels']
    dots = {c.get_label(): c.get_offsets().tolist() for c in axes.collections}
    assert [y for _, y in dots['pre-trained']] == [43.0, 44.0, 45.0, 46.0]  # by size, at k = 20
    assert dots['pre-trained'][0][0] == pytest.approx(12 * 16**2 * 2 / 1e6)
    assert dots['each trained alone'][0][1] == 40.0
    assert axes.get_xscale() == 'log'


def test_size_curve_of_extracted_networks(figures, tmp_path):
    plot_size_curve([entry('extracted', 16, 2, 41.0)], tmp_path / 'curve.png')
    axes = figures[0].axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ['extracted']
    assert axes.collections[0].get_offsets().tolist() == [[pytest.approx(12 * 16**2 * 2 / 1e6), 41.0]]
    assert [text.get_text() for text in axes.texts] == ['16']


def test_heat_map(results, figures, tmp_path):
    assert plot_heat_map(results[1:], tmp_path / 'map.png').is_file()
    image = figures[0].axes[0].images[0].get_array()
    assert image[0].tolist() == [44.0, 46.0]  # depth 2
    deep = [entry('pretrained', 64, (3, m, n, 3), 50.0 + n) for m in (4, 5) for n in (6, 7)]
    assert plot_heat_map(deep, tmp_path / 'stages.png').is_file()
    assert figures[1].axes[0].images[0].get_array()[:, 0].tolist() == [56.0, 57.0, 56.0, 57.0]


def test_nothing_to_draw(results, tmp_path):
    with pytest.raises(ValueError, match='no sub-network'):
        plot_size_curve(results[-1:], tmp_path / 'x.png')
    with pytest.raises(ValueError, match='no pretrained sub-network'):
        plot_heat_map(results[-1:], tmp_path / 'x.png')
    with pytest.raises(ValueError, match='no accuracy for k = 5: measured are 10, 20'):
        plot_size_curve(results, tmp_path / 'x.png', k=5)

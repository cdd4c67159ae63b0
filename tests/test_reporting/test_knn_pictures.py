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
    labels = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert labels == ['pre-trained', 'best up to each size', 'untrained', 'each trained alone', 'raw pixels']
    dots = {c.get_label(): c.get_offsets().tolist() for c in axes.collections}
    assert [y for _, y in dots['pre-trained']] == [43.0, 44.0, 45.0, 46.0]  # by size, at k = 20
    assert dots['pre-trained'][0][0] == pytest.approx(12 * 16**2 * 2 / 1e6)
    assert dots['each trained alone'][0][1] == 40.0
    assert axes.get_xscale() == 'log'


def test_size_curve_of_extracted_networks(figures, tmp_path):
    plot_size_curve([entry('extracted', 16, 2, 41.0)], tmp_path / 'curve.png')
    axes = figures[0].axes[0]
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ['extracted']
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
    with pytest.raises(ValueError, match='a sub-network: nothing'):
        plot_size_curve(results[-1:], tmp_path / 'x.png')
    with pytest.raises(ValueError, match='a pretrained sub-network: nothing'):
        plot_heat_map(results[-1:], tmp_path / 'x.png')
    with pytest.raises(ValueError, match='no accuracy for k = 5: measured are 10, 20'):
        plot_size_curve(results, tmp_path / 'x.png', k=5)


def test_front_chance_and_errors(results, figures, tmp_path):
    plot_size_curve(results, tmp_path / 'curve.png', queries=400, classes=8)
    axes = figures[0].axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert lines['chance'].get_ydata()[0] == 12.5
    assert lines['best up to each size'].get_ydata().tolist() == [44.0, 45.0, 46.0, 47.0]
    (bars,) = [c for c in axes.collections if type(c).__name__ == 'LineCollection']
    low, high = bars.get_segments()[0][:, 1]
    assert (low + high) / 2 == 44 and high - 44 == pytest.approx(100 * (0.44 * 0.56 / 400) ** 0.5)


def test_labels_cover_neither_dots_nor_each_other(figures, tmp_path):
    crowd = [entry('pretrained', 16 + i % 12, 2 + i // 12, 40 + 0.3 * (i % 5)) for i in range(180)]
    plot_size_curve(crowd, tmp_path / 'curve.png')
    figure = figures[0]
    axes, renderer = figure.axes[0], figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert 10 < len(boxes) < 180  # not all find a place
    for i, box in enumerate(boxes):
        assert box.count_overlaps(boxes) == 1, i
        assert not any(box.contains(*dot) for dot in axes.transData.transform(axes.collections[0].get_offsets()))


def test_colours_do_not_magnify_noise(results, figures, tmp_path):
    plot_heat_map(results, tmp_path / 'map.png', queries=400)
    low, high = figures[0].axes[0].images[0].get_clim()
    middle = 45.5  # of 44 to 47
    assert (low + high) / 2 == pytest.approx(middle)
    assert high - low == pytest.approx(8 * 100 * (0.455 * 0.545 / 400) ** 0.5)
    plot_heat_map(results, tmp_path / 'map.png', queries=10**6)
    assert figures[1].axes[0].images[0].get_clim() == (44, 47)
    plot_heat_map(results, tmp_path / 'map.png')
    assert figures[2].axes[0].images[0].get_clim() == (43, 48)

"""Colours, correspondences, neighbours and prototypes on features whose answer is known."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA

from poa_mm.models.heads import MultiPrototypeHead
from poa_mm.visualization.correspondence import correct, draw_pairs, mutual_matches, view_pair
from poa_mm.visualization.neighbours import draw_neighbours, nearest
from poa_mm.visualization.pca import aligned, as_colours, draw_pca, principal_coordinates
from poa_mm.visualization.prototypes import Group, assign, draw_groups, shared_by_images, shared_by_patches


def test_coordinates_are_those_of_scikit_learn():
    torch.manual_seed(0)
    maps = torch.randn(3, 5, 5, 8) * torch.tensor([9.0, 5, 3, 1, 1, 1, 1, 1]) + 4
    state = torch.random.get_rng_state()
    found = principal_coordinates(maps)
    assert torch.equal(torch.random.get_rng_state(), state)
    expected = PCA(3, whiten=True).fit_transform(maps.reshape(-1, 8))
    signs = np.sign((found.reshape(-1, 3).numpy() * expected).sum(0))
    np.testing.assert_allclose(found.reshape(-1, 3) * signs, expected, atol=1e-3)


def test_a_single_patch_has_a_colour():
    assert principal_coordinates(torch.randn(1, 1, 1, 8)).tolist() == [[[[0, 0, 0]]]]
    draw_pca(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), [('a', torch.randn(1, 1, 1, 8))])


def test_alignment_undoes_a_rotation_and_a_swap():
    torch.manual_seed(0)
    reference = torch.randn(2, 6, 6, 3)
    rotation = torch.linalg.qr(torch.randn(3, 3)).Q
    torch.testing.assert_close(aligned(reference @ rotation, reference), reference, atol=1e-4, rtol=1e-4)


def test_colours_fill_the_range_and_ignore_outliers():
    values = torch.linspace(-2, 3, 1000).repeat(3, 1).T.reshape(1, 40, 25, 3).clone()
    values[0, 0, 0] = 1000.0
    colours = as_colours(values)
    assert colours.min() == 0 and colours.max() == 1
    assert colours.flatten(0, 2).median(0).values == pytest.approx([0.5] * 3, abs=0.01)
    figure = draw_pca(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), [('a', torch.randn(1, 4, 4, 5))])
    assert len(figure.axes) == 2


def test_mutual_matches_against_loops():
    torch.manual_seed(0)
    first, second = torch.randn(3, 4, 6), torch.randn(5, 2, 6)
    matches = mutual_matches(first, second)
    cosine = F.cosine_similarity(first.reshape(12, 1, 6), second.reshape(1, 10, 6), dim=-1)
    expected = {(i, j) for i in range(12) for j in range(10) if cosine[i].argmax() == j and cosine[:, j].argmax() == i}
    found = []
    for (x1, y1), (x2, y2), value in zip(*matches):
        i, j = int(y1 * 3) * 4 + int(x1 * 4), int(y2 * 5) * 2 + int(x2 * 2)
        assert value == pytest.approx(cosine[i, j].item(), abs=1e-5)
        found.append((i, j))
    assert set(found) == expected and len(found) == len(expected) > 2
    assert (matches.similarity.diff() <= 0).all()


@pytest.mark.parametrize('seed', range(4))
def test_the_truth_of_a_view_is_where_its_pixels_come_from(seed):
    rows, columns = np.mgrid[:64, :64]
    image = np.stack([columns * 3, rows * 3, 0 * rows], axis=-1).astype(np.uint8)  # a pixel's colour says its place
    pair = view_pair(image, seed)
    # Colours are changed, but monotonically: where red rises along x the view is not flipped.
    rises = np.corrcoef(np.arange(64), pair.view.astype(float).sum(-1).mean(0))[0, 1] > 0
    assert rises == (not pair.flipped)
    top, left, height, width = pair.box
    corners = pair.locate(torch.tensor([[0.0, 0.0], [1.0, 1.0]])) * 64
    xs = [left + width, left] if pair.flipped else [left, left + width]
    torch.testing.assert_close(corners, torch.tensor([[xs[0], top], [xs[1], top + height]], dtype=torch.float32))


def test_perfect_features_match_correctly():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pair = view_pair(image, 1)
    grid = (torch.arange(16) + 0.5) / 16
    points = torch.stack(torch.meshgrid(grid, grid, indexing='xy'), dim=-1)
    as_feature = lambda p: torch.cat([torch.cos(3 * p), torch.sin(3 * p)], dim=-1)  # noqa: E731
    matches = mutual_matches(as_feature(points), as_feature(pair.locate(points.reshape(-1, 2)).view(16, 16, 2)))
    assert len(matches.first) > 20 and correct(matches, pair, 16).all()
    wrong = matches._replace(first=1 - matches.first)
    assert correct(wrong, pair, 16).float().mean() < 0.3
    figure = draw_pairs([(pair.image, pair.view)], [('a', [matches], [correct(matches, pair, 16)])], lines=7)
    assert len(figure.artists) == 7


def test_neighbours_against_loops():
    torch.manual_seed(0)
    features = torch.randn(9, 5)
    index, values = nearest(features, [2, 7], 3)
    for row, query in enumerate((2, 7)):
        cosine = F.cosine_similarity(features, features[query : query + 1])
        order = [i for i in cosine.argsort(descending=True).tolist() if i != query]
        assert index[row].tolist() == order[:3]
        torch.testing.assert_close(values[row], cosine[order[:3]])
    assert nearest(features[:2], [0], 3)[0].tolist() == [[1]]
    pixels = torch.zeros(9, 3, 8, 8, dtype=torch.uint8)
    figure = draw_neighbours(pixels, [2, 7], [('a', index, values), ('b', index, values)])
    assert len(figure.axes) == 2 * 7


def test_assignment_is_the_nearest_prototype_of_the_smallest_head():
    torch.manual_seed(0)
    head = MultiPrototypeHead(6, (7, 4), hidden_dims=8, bottleneck_dims=5).eval()
    features = torch.randn(9, 6)
    found, logits = assign(head, features, chunk=2)
    with torch.no_grad():
        expected = head(features)[1].max(1)
    assert torch.equal(found, expected.indices)
    torch.testing.assert_close(logits, expected.values)


def test_groups_of_images_and_of_patches():
    groups = shared_by_images(torch.tensor([3, 1, 3, 3, 1, 5]), torch.tensor([0.1, 2, 0.3, 0.2, 1, 9]), 4, 2)
    assert groups == [Group(3, [2, 3], None), Group(1, [1, 4], None)]
    # Prototype 2 has the most patches but one image; 0 has three images.
    ids = torch.tensor([[2, 2, 2, 0], [0, 1, 0, 0], [1, 0, 4, 4]])
    logits = torch.tensor([[9.0, 9, 9, 1], [2, 5, 7, 3], [6, 4, 0, 0]])
    groups = shared_by_patches(ids, logits, 3, 2)
    assert groups == [Group(0, [1, 2], [2, 1]), Group(1, [2, 1], [0, 1])]
    assert shared_by_patches(ids, logits, 1, 3)[0] == Group(0, [1, 2, 0], [2, 1, 3])
    pixels = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    figure = draw_groups(pixels, groups, side=2)
    assert sum(len(axes.patches) for axes in figure.axes) == 4

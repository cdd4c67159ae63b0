"""The command ``poa backgrounds`` on a small ImageNet-9: shapes on backgrounds, in the published layout."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from poa_mm.commands import main
from poa_mm.evaluation.backgrounds import MEMBERS, SETS, count_robust, read_mask, to_nine
from poa_mm.reporting.report import report
from tests.helpers.classifiers import classifier_config, save_classifier
from tests.helpers.networks import VIT

CLASSES = [f'{i:02}_{name.split()[-1]}' for i, name in enumerate(MEMBERS)]
PER_CLASS, SIZE = 3, 16
CONFIG = f"""
model = dict(
    type='POA',
    backbone={dict(VIT, layer_scale_init_value=0.5)})
randomness = dict(seed=4)
"""


def compose(images, masks, backgrounds, name, rng):
    """The images of one set from all foregrounds and backgrounds, (classes, images, S, S, 3)."""
    shown = masks[..., None]
    other = {
        'original': backgrounds,
        'mixed_same': backgrounds[:, rng.permutation(PER_CLASS)],
        'mixed_rand': backgrounds[rng.permutation(9)],
        'mixed_next': np.roll(backgrounds, -1, axis=0),
        'only_bg_t': backgrounds,
    }.get(name)
    if name == 'only_bg_t':
        return backgrounds
    if name == 'only_bg_b':
        return np.where(masks.any((2, 3))[..., None, None, None] & box(masks)[..., None], 0, backgrounds)
    if name == 'no_fg':
        return np.where(shown, 0, backgrounds)
    return np.where(shown, images, 0 if other is None else other)


def box(masks):
    """Bounding boxes of masks (..., S, S)."""
    return masks.any(-1, keepdims=True) & masks.any(-2, keepdims=True)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """ImageNet-9 with three images of 16 px for each class, its masks, and the images in memory."""
    root = tmp_path_factory.mktemp('in9') / 'bg_challenge'
    rng = np.random.default_rng(0)
    images = np.zeros((9, PER_CLASS, SIZE, SIZE, 3), np.uint8)
    masks = np.zeros((9, PER_CLASS, SIZE, SIZE), bool)
    hue = rng.integers(0, 256, (2, 9, 1, 1, 1, 3))  # of objects and of the places where they are seen
    noise = rng.integers(-40, 40, (2, *images.shape))
    images, backgrounds = (np.clip(hue + noise, 0, 255)).astype(np.uint8)
    for mask in masks.reshape(-1, SIZE, SIZE):
        y, x = rng.integers(2, 7, 2)
        mask[y : y + 7, x : x + 7] = cv2.circle(np.zeros((7, 7), np.uint8), (3, 3), 3, 1, -1)
    sets = {name: compose(images, masks, backgrounds, name, rng) for name in SETS}
    for name, pixels in sets.items():
        for label, folder in enumerate(CLASSES):
            (root / name / 'val' / folder).mkdir(parents=True)
            (root / 'fg_mask' / 'val' / folder).mkdir(parents=True, exist_ok=True)
            for i in range(PER_CLASS):
                # Lossless under the name of the published files; OpenCV's order is BGR.
                coded = cv2.imencode('.png', pixels[label, i, ..., ::-1])[1]
                (root / name / 'val' / folder / f'n{label:08}_{i}.JPEG').write_bytes(coded.tobytes())
                np.save(root / 'fg_mask' / 'val' / folder / f'n{label:08}_{i}.npy', masks[label, i])
    return root, sets, masks


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('tiny.py').write_text(CONFIG)


def run(data, *arguments):
    main(['backgrounds', *map(str, arguments), '--data', str(data), '--workers', '0', '--out', 'out.json'])
    return json.loads(Path('out.json').read_text())


def challenge_by_hand(predict, sets, masks):
    """Every foreground on every background, without shortcuts."""
    right = 0
    for label in range(9):
        for i in range(PER_CLASS):
            mixed = np.where(
                masks[label, i, ..., None], sets['original'][label, i], sets['only_bg_t'].reshape(-1, SIZE, SIZE, 3)
            )
            right += bool((predict(mixed) == label).all())
    return 100 * right / (9 * PER_CLASS)


@pytest.mark.parametrize('classes', [9, 1000])
def test_trained_classifiers(data, classes, capsys):
    """Accuracies, gap and challenge are those of the network itself, counted without the protocol."""
    root, sets, masks = data
    config = classifier_config(classes=classes)
    model = save_classifier('epoch_1.pth', config)
    with torch.no_grad():  # so that a foreground can be right on all backgrounds
        bias = model.head.layers.head.bias
        if classes == 1000:  # one class of each kind, and one that belongs to none
            kept = [207, 14, 817, 39, 291, 308, 579, 366, 1, 980]
            bias -= 1000 * (1 - torch.zeros(1000).index_fill(0, torch.tensor(kept), 1))
        bias[207 if classes == 1000 else 0] += 8.0 if classes == 1000 else 1.5
    torch.save({**torch.load('epoch_1.pth', weights_only=False), 'state_dict': model.state_dict()}, 'epoch_1.pth')
    record = run(root, 'epoch_1.pth', '--trained', '--batch-size', '4')

    mean, std = (torch.tensor(config['data_preprocessor'][key]).view(3, 1, 1) for key in ('mean', 'std'))

    @torch.no_grad()
    def predict(pixels):
        found = model((torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2) - mean) / std).argmax(1)
        return to_nine(found, classes).numpy()

    labels = np.repeat(np.arange(9), PER_CLASS)
    (result,) = record['results']
    assert list(result['accuracy']) == list(SETS) == record['protocol']['sets']
    for name, pixels in sets.items():
        right = (predict(pixels.reshape(-1, SIZE, SIZE, 3)) == labels).mean()
        assert result['accuracy'][name] == pytest.approx(100 * right, abs=1e-3), name
    gap = result['accuracy']['mixed_same'] - result['accuracy']['mixed_rand']
    assert result['bg_gap'] == pytest.approx(gap, abs=1e-3)
    assert result['challenge'] == pytest.approx(challenge_by_hand(predict, sets, masks), abs=1e-3)
    assert 0 < result['challenge'] <= result['accuracy']['original'] < 100
    assert record['data']['val']['images'] == 27 and record['classes'] == 9
    page = report([record])
    assert '## Backgrounds Challenge' in page and 'BG gap' in page


def test_neighbours_and_linear_classifiers(data, capsys):
    """By k-NN and by classifiers of ``poa linear``; on ``original`` they give what their own protocols give."""
    root, _, _ = data
    train, val = root / 'mixed_same' / 'val', root / 'original' / 'val'
    common = ['tiny.py', '--untrained', '--subnets', '16x2', 'intact']
    record = run(root, *common, '--train', train, '--k', '5', '--backgrounds', '4')
    sizes = ['--resize', '16', '--crop', '16', '--workers', '0']
    arguments = [*common, '--train', str(train), '--val', str(val), *sizes]
    main(['knn', *arguments, '--k', '5', '--out', 'knn.json'])
    plain = json.loads(Path('knn.json').read_text())
    again = run(root, *common, '--train', train, '--k', '5', '--resize', '16', '--backgrounds', '0')
    for ours, clean in zip(again['results'], plain['results'], strict=True):
        assert ours['accuracy']['original'] == clean['accuracy']['5'] and 'challenge' not in ours
    assert all(0 <= r['challenge'] <= 100 for r in record['results'])

    training = ['--iters', '20', '--total-batch', '8', '--learning-rates', '1', '--save', 'p.pth']
    main(['linear', *arguments, *training, '--out', 'l.json'])
    clean = json.loads(Path('l.json').read_text())['results']
    ours = run(root, *common, '--classifiers', 'p.pth', '--backgrounds', '0')['results']
    assert [r['accuracy']['original'] for r in ours] == [r['best'] for r in clean]


def test_missing_parts(data, tmp_path, capsys):
    root, _, _ = data
    save_classifier('epoch_1.pth', classifier_config(classes=9))
    save_classifier('eight.pth', classifier_config(classes=8))
    empty = tmp_path / 'empty'
    (empty / 'original').mkdir(parents=True)
    (empty / 'original' / 'val').symlink_to(root / 'original' / 'val')
    result = run(empty, 'epoch_1.pth', '--trained', '--backgrounds', '0')['results'][0]
    assert list(result['accuracy']) == ['original'] and 'bg_gap' not in result
    for arguments, message in [
        ([empty, 'epoch_1.pth', '--trained'], 'the challenge needs the set only_bg_t'),
        ([tmp_path, 'epoch_1.pth', '--trained'], 'original/val'),
        ([root, 'eight.pth', '--trained'], 'must be the 9 of ImageNet-9 or the 1000 of ImageNet-1K, got 8'),
        ([root, 'tiny.py', '--untrained'], 'k-NN needs --train'),
        ([root, 'epoch_1.pth', '--trained', '--cfg-options', 'backgrounds.backgrounds=-1'], 'at least 0, got -1'),
    ]:
        with pytest.raises(SystemExit) as stopped:
            run(*arguments)
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err.splitlines()[-1]


def test_classes_of_imagenet():
    """Counts of the published assignment, and members known by name."""
    table = to_nine(torch.arange(1000), 1000)
    counts = {name: int((table == i).sum()) for i, name in enumerate(MEMBERS)}
    assert list(counts.values()) == [116, 52, 42, 36, 35, 27, 26, 20, 16]
    assert int((table == -1).sum()) == 630
    known = {207: 'dog', 14: 'bird', 817: 'wheeled vehicle', 39: 'reptile', 285: None, 291: 'carnivore', 308: 'insect'}
    known |= {579: 'musical instrument', 366: 'primate', 1: 'fish', 980: None}  # golden retriever ... goldfish, volcano
    names = [*MEMBERS, None]
    assert {number: names[table[number]] for number in known} == known


def test_the_order_of_backgrounds_does_not_matter():
    """Foregrounds right on all backgrounds, by brute force, at any batch size."""
    rng = torch.Generator().manual_seed(0)
    backgrounds = torch.randint(256, (23, 3, 4, 4), dtype=torch.uint8, generator=rng)
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[1:3, 1:3] = True
    foregrounds = [(torch.full((3, 4, 4), v, dtype=torch.uint8), mask, 1) for v in range(0, 250, 10)]

    def predict(pixels):
        return (pixels.float().mean((1, 2, 3)) > 118).long()

    expected = sum(bool((predict(torch.where(m, p, backgrounds)) == 1).all()) for p, m, _ in foregrounds)
    assert 0 < expected < len(foregrounds)
    for size in (1, 5, 64):
        assert count_robust(predict, iter(foregrounds), backgrounds, size).tolist() == [expected, len(foregrounds)]


def test_masks_are_cut_as_images(tmp_path):
    mask = np.zeros((8, 12))
    mask[2:6, 2:10] = 1
    np.save(tmp_path / 'a.npy', mask)
    found = read_mask(tmp_path / 'a.npy', 4)
    assert found.tolist() == [[False] * 4, [True] * 4, [True] * 4, [False] * 4]

"""The benchmark of the input pipeline, on generated images."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import data
from benchmarks.data import benchmark_data, describe, torchvision_view
from poa_mm.datasets import image_ops, multi_crop, views
from poa_mm.datasets.multi_crop import View

STAGES = ['decode', 'crops', 'colour', 'grey, solarise', 'blur', 'packing', 'other']


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / 'images').mkdir()
    for i in range(2):
        cv2.imwrite(str(tmp_path / 'images' / f'{i}.jpg'), rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    return tmp_path / 'images'


def test_measured(folder):
    functions = [image_ops.resized_crop, multi_crop.color_jitter, views._pack]
    result = benchmark_data(folder, images=6, rounds=2)
    assert functions == [image_ops.resized_crop, multi_crop.color_jitter, views._pack]
    assert sorted(result['stages']) == sorted(STAGES) and all(value > 0 for value in result['stages'].values())
    ours, theirs = (seconds['median'] for seconds in result['seconds_per_image'].values())
    assert result['ratio']['min'] <= theirs / ours <= result['ratio']['max']
    text = describe(result)
    assert 'PIL + torchvision: ' in text and 'images/s per core' in text and 'ratio ' in text


def test_reference_gives_views_of_that_size():
    from PIL import Image

    view = View(size=24, scale=(0.3, 1.0), blur=1.0, solarize=1.0)
    assert torchvision_view(view)(Image.new('RGB', (40, 50))).shape == (3, 24, 24)


@pytest.fixture
def one_thread(monkeypatch):
    monkeypatch.setattr(torch, 'set_num_threads', lambda number: None)


def test_command(command, one_thread, folder, capsys):
    assert command(data, folder, '--images', 1, '--rounds', 1) == 0
    text = capsys.readouterr().out
    assert all(stage in text for stage in STAGES)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['empty'], "the data 'empty' holds no images"),
        (['nowhere'], 'nowhere'),
        (['file.txt'], 'file.txt'),
        (['empty', '--rounds', 0], '--rounds: must be a whole number of at least 1'),
    ],
)
def test_mistakes_end_in_one_sentence(command, one_thread, monkeypatch, tmp_path, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path('empty').mkdir()
    Path('file.txt').touch()
    assert command(data, *arguments) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'error:' in line]
    assert message in line

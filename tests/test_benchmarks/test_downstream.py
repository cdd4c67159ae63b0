"""Counted operations of fine-tuning against the formula of a ViT."""

from pathlib import Path

import pytest

from benchmarks.downstream import forward_operations, seen_images
from poa_mm.config import load_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def test_a_linear_head_on_a_frozen_vit_s():
    cfg = load_config(str(CONFIGS / 'ade20k/linear_vits_160k.py'), {}, None, 'none')
    patches, width, depth, classes = 32 * 32, 384, 12, 150
    tokens = patches + 1
    block = 12 * width**2 * tokens + 2 * tokens**2 * width
    expected = 2 * (depth * block + patches * 16 * 16 * 3 * width + patches * width * classes)
    operations, trained = forward_operations(cfg)
    assert not trained and operations == pytest.approx(expected, rel=0.01)
    assert seen_images(cfg) == 160_000 * 16


def test_epochs_of_coco():
    cfg = load_config(str(CONFIGS / 'coco/mask_rcnn_vits_1x.py'), {}, None, 'none')
    assert seen_images(cfg) == 12 * 117_266

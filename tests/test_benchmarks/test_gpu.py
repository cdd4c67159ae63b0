"""The benchmark of a GPU, tried on the CPU."""

import json

import pytest
import torch

from benchmarks import gpu, operations, step


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Without the rates of single products, which take longer than the steps (and have a test of their own)."""
    monkeypatch.setitem(step.SQUARE, 'cpu', 64)
    monkeypatch.setattr(operations, 'product_rate', lambda *args: 1e9)


def test_all_networks(command, tmp_path):
    assert command(gpu, '--tiny', '--steps', 1, '--limit', 2, '--out', tmp_path / 'new') == 0
    found = json.loads((tmp_path / 'new/gpu.json').read_text())
    assert found['cfg_options'] == {}
    assert [result['network'] for result in found['results']] == ['ViT-L/16', 'Swin-B', 'ResNet-152']
    assert all(result['batch_size'] == 2 and result['dtype'] == 'bfloat16' for result in found['results'])
    table = (tmp_path / 'new/gpu.md').read_text().splitlines()
    assert len(table) == 5 and len({line.count('|') for line in table}) == 1


def test_one_that_fails_leaves_the_others(command, tmp_path, monkeypatch):
    rates = iter([torch.OutOfMemoryError('CUDA out of memory.'), 1e9])

    def first_fails(*args):
        if isinstance(rate := next(rates), Exception):
            raise rate
        return rate

    monkeypatch.setattr(operations, 'product_rate', first_fails)
    options = ['--batch-size', 2, '--networks', 'Swin-B', 'ViT-L/16']
    assert command(gpu, '--tiny', '--steps', 1, '--out', tmp_path, *options) == 1
    found = json.loads((tmp_path / 'gpu.json').read_text())
    assert found['failed'] == {'Swin-B': 'OutOfMemoryError: CUDA out of memory.'}
    assert [r['network'] for r in found['results']] == ['ViT-L/16']
    assert 'Swin-B' not in (tmp_path / 'gpu.md').read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_no_gpu(command, tmp_path, capsys):
    assert command(gpu, '--out', tmp_path) == 2
    assert 'has no GPU; --tiny' in capsys.readouterr().err


def test_tiny_ends_by_itself_and_takes_changes_to_the_config(command, tmp_path):
    results = []
    for changes in [[], ['--cfg-options', 'model.head.hidden_dims=64']]:
        assert command(gpu, '--tiny', '--networks', 'ViT-L/16', '--steps', 1, '--out', tmp_path, *changes) == 0
        results += json.loads((tmp_path / 'gpu.json').read_text())['results']
    assert results[0]['operations_per_step'] < results[1]['operations_per_step']
    assert results[0]['batch_size'] == gpu.TINY_LARGEST

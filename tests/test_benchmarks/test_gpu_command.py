"""The command for a GPU, tried on the CPU."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import report

TOOL = Path(__file__).resolve().parents[2] / 'tools/benchmark_gpu.py'


def run(monkeypatch, *args):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, args)])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(TOOL), run_name='__main__')
    return stopped.value.code


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Without the rates of single products, which take longer than the steps (and have a test of their own)."""
    monkeypatch.setitem(report.SQUARE, 'cpu', 64)
    monkeypatch.setattr(report, 'product_rate', lambda *args: 1e9)


def test_all_networks(monkeypatch, tmp_path):
    assert run(monkeypatch, '--tiny', '--steps', 1, '--limit', 2, '--out', tmp_path / 'new') == 0
    told = json.loads((tmp_path / 'new/benchmark_gpu.json').read_text())
    assert told['cfg_options'] == {}
    assert [result['network'] for result in told['results']] == ['ViT-L/16', 'Swin-B', 'ResNet-152']
    assert all(result['batch_size'] == 2 and result['dtype'] == 'bfloat16' for result in told['results'])
    table = (tmp_path / 'new/benchmark_gpu.md').read_text().splitlines()
    assert len(table) == 5 and len({line.count('|') for line in table}) == 1


@pytest.mark.parametrize('failure', [torch.OutOfMemoryError('CUDA out of memory.'), AssertionError('of a library')])
def test_one_that_fails_leaves_the_others(monkeypatch, tmp_path, failure):
    rates = iter([failure, 1e9])

    def first_fails(*args):
        rate = next(rates)
        if isinstance(rate, Exception):
            raise rate
        return rate

    monkeypatch.setattr(report, 'product_rate', first_fails)
    options = ['--batch-size', 2, '--networks', 'Swin-B', 'ViT-L/16']
    assert run(monkeypatch, '--tiny', '--steps', 1, '--out', tmp_path, *options) == 1
    told = json.loads((tmp_path / 'benchmark_gpu.json').read_text())
    assert told['failed'] == {'Swin-B': f'{type(failure).__name__}: {failure}'}
    assert [r['network'] for r in told['results']] == ['ViT-L/16']
    assert 'Swin-B' not in (tmp_path / 'benchmark_gpu.md').read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_no_gpu(monkeypatch, capsys):
    assert run(monkeypatch) == 2
    assert 'there is no GPU; --tiny' in capsys.readouterr().err


def test_changes_to_the_config(monkeypatch, tmp_path):
    plain, wide = tmp_path / 'plain', tmp_path / 'wide'
    options = ['--tiny', '--networks', 'ViT-L/16', '--batch-size', 2, '--steps', 1]
    assert run(monkeypatch, *options, '--out', plain) == 0
    assert run(monkeypatch, *options, '--cfg-options', 'model.head.hidden_dims=64', '--out', wide) == 0
    results = [json.loads((folder / 'benchmark_gpu.json').read_text())['results'][0] for folder in (plain, wide)]
    assert results[0]['operations_per_step'] < results[1]['operations_per_step']

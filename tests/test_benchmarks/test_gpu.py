"""The benchmark of a GPU, tried on the CPU."""

import json
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu, gpu_checks, operations, timing
from poa_mm.engine.precision import emulates_bfloat16


@pytest.fixture(autouse=True)
def no_split(no_product_rates, monkeypatch):
    """Nor the split of a step, which is tested in ``test_step.py``."""
    monkeypatch.setattr(timing, 'time_parts', lambda *args: {})


def test_all_networks(command, tmp_path):
    assert command(gpu, '--tiny', '--no-checks', '--steps', 1, '--limit', 2, '--out', tmp_path / 'new') == 0
    found = json.loads((tmp_path / 'new/gpu.json').read_text())
    assert found['cfg_options'] == {}
    assert [result['network'] for result in found['results']] == ['ViT-L/16', 'Swin-B', 'ResNet-152']
    dtype = 'float32' if emulates_bfloat16() else 'bfloat16'
    assert all(result['batch_size'] == 2 and result['dtype'] == dtype for result in found['results'])
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
    assert command(gpu, '--tiny', '--no-checks', '--steps', 1, '--out', tmp_path, *options) == 1
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
        arguments = ['--tiny', '--no-checks', '--networks', 'ViT-L/16', '--steps', 1, '--out', tmp_path]
        assert command(gpu, *arguments, *changes) == 0
        results += json.loads((tmp_path / 'gpu.json').read_text())['results']
    assert results[0]['operations_per_step'] < results[1]['operations_per_step']
    assert results[0]['batch_size'] == gpu.TINY_LARGEST


def test_checks(command, tmp_path):
    """All are made on a CPU with tiny networks, and have a figure."""
    assert command(gpu, '--tiny', '--networks', '--steps', 1, '--out', tmp_path) == 0
    found = json.loads((tmp_path / 'gpu.json').read_text())
    checks = found['checks']
    assert {finding['check'] for finding in checks} == set(gpu_checks.CHECKS)
    assert not [finding for finding in checks if finding['what'] in ('failed', 'not done')]
    by_name = {finding['what']: finding for finding in checks}
    assert all(by_name[f'step, {how}']['predicted'] > 0 for how in ('eager', 'compiled'))
    assert all(by_name[f'waits of the host in a step, {how}']['measured'] == 0 for how in ('eager', 'compiled'))
    kernels = {name: finding for name, finding in by_name.items() if name.startswith('kernels, eager: ')}
    assert all(kernels[f'kernels, eager: {name}']['measured'] > 0 for name in ('products', 'norms', 'GELU'))
    assert kernels['kernels, eager: norms']['predicted'] > 0
    assert by_name['relative difference of the losses']['measured'] < 1e-5
    assert len([name for name in by_name if 'tokens' in name]) == 8
    assert 'host alone' in (tmp_path / 'gpu.md').read_text()


def test_checks_stop_when_time_is_up(monkeypatch):
    monkeypatch.setattr(gpu_checks, 'CHECKS', dict(one=None, two=None))
    findings = [f for found in gpu_checks.run_checks(None, -1, print) for f in found]
    assert [(f.check, f.what) for f in findings] == [('one', 'not done'), ('two', 'not done')]


def test_a_failing_check_leaves_the_others(monkeypatch):
    def fails(setting):
        raise torch.OutOfMemoryError('CUDA out of memory.')
        yield

    monkeypatch.setattr(gpu_checks, 'CHECKS', dict(one=fails, two=lambda setting: [('a', 1.0, 'ms')]))
    one, two = (found[0] for found in gpu_checks.run_checks(None, 10, print))
    assert (one.what, one.note) == ('failed', 'OutOfMemoryError: CUDA out of memory.')
    assert (two.what, two.measured) == ('a', 1.0)


def test_kernels_by_category():
    names = [
        'nvjet_tst_128x64',
        'flash_fwd_kernel',
        'triton_red_fused_native_layer_norm',
        'triton_poi_fused_expand',
        'Memcpy DtoD',
        'void fused_adam',
        'x',
    ]
    gpu, cpu = torch.autograd.DeviceType.CUDA, torch.autograd.DeviceType.CPU
    events = [SimpleNamespace(key=name, device_type=gpu, self_device_time_total=1000.0) for name in names]
    events.append(SimpleNamespace(key='aten::mm', device_type=cpu, self_device_time_total=9.0))
    found = gpu_checks.by_category(events, 'cuda')
    assert found == dict.fromkeys(
        ['products', 'attention', 'norms', 'other compiled', 'copies', 'optimizer and EMA', 'other'], 1.0
    )

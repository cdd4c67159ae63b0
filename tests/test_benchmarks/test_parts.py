"""Slow and fast versions that are measured against each other give the same results and gradients."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.parts import PARTS, Differentiable

TOOL = Path(__file__).resolve().parents[2] / 'tools/benchmark_parts.py'


@pytest.mark.parametrize('part', PARTS, ids=lambda part: part.name)
def test_same_results_and_gradients(part):
    slow, fast = part.versions(small=True)
    expected, found = slow(), fast()
    assert len(expected) == len(found) and any(value.any() for value in expected)
    half = torch.bfloat16 in [value.dtype for value in expected]
    for a, b in zip(found, expected):
        scale = b.abs().max().item()
        torch.testing.assert_close(a.float(), b.float(), rtol=1e-5, atol=(2e-2 if half else 1e-5) * scale)


def test_kept_bytes():
    x, weight = torch.randn(10), torch.nn.Parameter(torch.randn(10))
    assert Differentiable(lambda: (x * weight).exp(), [x, weight]).kept_bytes() == 2 * 40  # x and the result of exp
    kept = {part.name: [version.kept_bytes() for version in part.versions(small=True)] for part in PARTS[-1:]}
    ((without, recomputed),) = kept.values()
    assert recomputed < 0.5 * without


def test_command(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'new/out.json'
    argv = [str(TOOL), '--small', '--rounds', '2', '--only', 'Sinkhorn', '--out', str(out)]
    monkeypatch.setattr(sys, 'argv', argv)
    runpy.run_path(str(TOOL), run_name='__main__')
    ((result,), text) = json.loads(out.read_text())['results'], capsys.readouterr().out
    assert result['change'] in text and result['ratio']['median'] > 0
    monkeypatch.setattr(sys, 'argv', [str(TOOL), '--only', 'nothing of the kind'])
    with pytest.raises(SystemExit):
        runpy.run_path(str(TOOL), run_name='__main__')
    assert 'is in none of' in capsys.readouterr().err
    monkeypatch.setattr(sys, 'argv', [str(TOOL), '--rounds', '0'])
    with pytest.raises(SystemExit):
        runpy.run_path(str(TOOL), run_name='__main__')
    assert '--rounds: must be a whole number of at least 1' in capsys.readouterr().err

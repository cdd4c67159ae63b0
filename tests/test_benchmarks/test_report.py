import time

import numpy as np
import pytest
import torch

from benchmarks import TrainingStep, benchmark, compare, describe, report

CPU = torch.device('cpu')


def test_benchmark(config, monkeypatch):
    monkeypatch.setitem(report.SQUARE, 'cpu', 64)
    result = benchmark(TrainingStep(config, CPU), steps=2, warmup=1)
    assert result['images_per_step'] == 6
    assert result['images_per_second'] == pytest.approx(6 / result['seconds_per_step']['median'])
    assert result['operations_per_step'] == pytest.approx(sum(result['operations'].values()))
    for name, rate in result['rates'].items():
        assert result['fractions'][name] == pytest.approx(result['rate'] / rate)
    assert 0 <= result['split']['other'] < 0.5 * sum(result['split'].values())
    text = describe(result)
    assert 'backward' in text and '6 images a step' in text


def test_drawn_subnets_are_averaged(config, monkeypatch):
    monkeypatch.setitem(report.SQUARE, 'cpu', 64)
    drawn = benchmark(TrainingStep(config, CPU, subnet='drawn'), steps=3, warmup=0)
    sampler = TrainingStep(config, CPU, subnet='drawn').model.sampler
    each = [
        benchmark(TrainingStep(config, CPU, subnet=str(sampler(number))), 1, 0)['operations_per_step']
        for number in (3, 4, 5)  # those after the timed ones
    ]
    # Drop path draws as many samples whatever it draws.
    assert drawn['operations_per_step'] == pytest.approx(np.mean(each))
    assert drawn['subnet'] is None


def test_compare_takes_turns():
    class Sleep:
        device, images = CPU, 4
        order = []

        def __init__(self, seconds):
            self.seconds = seconds

        def __call__(self):
            Sleep.order.append(self.seconds)
            time.sleep(self.seconds)

    result = compare(Sleep(0.01), Sleep(0.03), steps=4, warmup=1)
    assert Sleep.order == [0.01, 0.03] + [0.01, 0.03, 0.03, 0.01] * 2
    assert 2 < result['ratio']['median'] < 4
    assert result['images_per_second'][0] == pytest.approx(4 / result['seconds_per_step'][0]['median'])

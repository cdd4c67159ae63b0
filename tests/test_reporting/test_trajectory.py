"""References of runs and of configs, and what a run is found to be: on track, behind or off."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from poa_mm.commands import main
from poa_mm.commands.compare import find_reference, recipe_of
from poa_mm.config import load_config
from poa_mm.engine.forecast import schedules_of, uniform_losses
from poa_mm.engine.schedules import cosine
from poa_mm.errors import UserError
from poa_mm.reporting.trajectory import (
    at_uniform,
    compare,
    read_reference,
    reference_of_runs,
    reference_of_schedules,
    verdict,
)
from tests.test_configs import PRETRAINING
from tests.test_models.test_seed import SEED_CONFIGS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
STEPS = list(range(20, 301, 20))


def simulated(seed, speed=1.0, steps=STEPS):
    """A loss that falls and a k-NN accuracy that rises, with noise."""
    rng = np.random.default_rng(seed)
    time = np.array(steps) * speed
    loss = 5 + 4 * np.exp(-time / 100) + rng.normal(0, 0.02, len(steps))
    knn = 70 - 40 * np.exp(-time / 100) + rng.normal(0, 0.3, len(steps))
    return {'loss': (steps, loss.tolist()), 'knn_S': (steps, knn.tolist()), 'time': (steps, [1.0] * len(steps))}


@pytest.fixture(scope='module')
def reference():
    return reference_of_runs([simulated(seed) for seed in range(3)], 'three runs')


def judged(curves, reference):
    return verdict(compare(curves, reference))


def test_a_fourth_run_is_on_track(reference):
    assert list(reference['bands']) == ['loss', 'knn_S']  # the machine's speed is not compared
    found = [judged(simulated(seed), reference) for seed in range(10, 30)]
    assert sum(text.startswith('on track at step 300') for text in found) >= 19
    early = {name: (steps[:4], values[:4]) for name, (steps, values) in simulated(40).items()}
    assert judged(early, reference).startswith('on track at step 80')


def test_a_slow_run_is_behind(reference):
    text = judged(simulated(5, speed=0.5, steps=STEPS[:8]), reference)
    assert text.startswith('behind at step 160: loss, knn_S as at step 80 of the reference')


def test_a_wrong_run_is_off(reference):
    curves = simulated(6)
    steps, values = curves['loss']
    curves['loss'] = steps, values[:5] + [value + 2.5 for value in values[5:]]
    assert judged(curves, reference).startswith('behind')  # high as at an earlier step
    curves['loss'] = steps, values[:5] + [value - 2 for value in values[5:]]
    assert judged(curves, reference) == 'off, first at step 120 in loss'
    for value in (math.nan, math.inf):  # no chance: one is enough, at the end
        curves['loss'] = steps, values[:-1] + [value]
        assert judged(curves, reference) == 'off, first at step 300 in loss'
    for number in (1, 2, 3):  # at the end, in a row
        curves['loss'] = steps, values[:-number] + [value - 2 for value in values[-number:]]
        assert judged(curves, reference).startswith('off' if number == 3 else 'on track'), number


def test_values_that_two_runs_have_logged():
    runs = [simulated(seed) for seed in range(3)]
    both = reference_of_runs(runs, '')['bands']['loss']
    runs[0].pop('knn_S')
    runs[1]['alone'] = runs[1]['loss']
    bands = reference_of_runs(runs, '')['bands']
    assert list(bands) == ['loss', 'knn_S'] and bands['loss'] == both
    assert bands['knn_S'] == reference_of_runs(runs[1:], '')['bands']['knn_S']


def test_what_cannot_be_compared(reference, tmp_path):
    with pytest.raises(UserError, match='at least 2 runs'):
        reference_of_runs([simulated(0)], '')
    with pytest.raises(UserError, match='logged none of loss, knn_S'):
        compare({'lr': (STEPS, STEPS)}, reference)
    (tmp_path / 'other.json').write_text('{"a": 1}')
    for name, message in [('other.json', 'is not a reference'), ('nothing', 'does not exist: give a file of --make')]:
        with pytest.raises(UserError, match=message):
            read_reference(tmp_path / name)


@pytest.mark.parametrize(
    'change',
    [
        dict(bands=dict(loss=dict(steps=[], low=[], high=[]))),
        dict(bands=dict(loss=dict(steps=[1, 2], low=[1.0], high=[2.0, 2.0]))),
        dict(bands=dict(loss=dict(steps=[1], low=['a'], high=[2.0]))),
        dict(bands=dict(loss=3)),
        dict(bands=[]),
        dict(uniform=dict(loss='a')),
    ],
)
def test_references_of_another_form(reference, tmp_path, change):
    path = tmp_path / 'reference.json'
    path.write_text(json.dumps(reference))
    assert read_reference(path) == reference
    path.write_text(json.dumps(reference | change))
    with pytest.raises(UserError, match='is not a reference of poa compare'):
        read_reference(path)
    path.write_bytes(b'\x80\xff')
    with pytest.raises(UserError, match='is not a reference of poa compare'):
        read_reference(path)


def test_schedules_by_hand():
    """The values that SPEC and the paper state for ViT-L."""
    cfg = Config.fromfile(CONFIGS / 'poa_vitl.py')
    found = reference_of_schedules(schedules_of(cfg, 'x'), uniform_losses(cfg), 'x')
    bands = found['bands']

    def at(name, step):
        band = bands[name]
        return np.interp(step, band['steps'], (np.array(band['low']) + band['high']) / 2)

    top = 0.004 * math.sqrt(1600 / 1024)
    assert at('base_lr', 8001) == pytest.approx(top, rel=1e-4) and at('base_lr', 1) == 0
    assert at('base_lr', 276800) == pytest.approx(6.2e-4, rel=0.01)
    assert at('base_lr', 276800) == pytest.approx(cosine(276799, top, 2e-5, 276800 / 0.78, 8000), rel=1e-5)
    assert at('weight_decay', 276800) == pytest.approx(0.359, abs=1e-3) and at('weight_decay', 1) == pytest.approx(0.04)
    assert at('momentum', 276800) == pytest.approx(0.99899, abs=1e-5)
    assert at('teacher_temp', 24001) == pytest.approx(0.07) and at('teacher_temp', 12001) == pytest.approx(
        0.055, rel=0.01
    )
    log = np.log([8192, 16384, 32768, 65536]).mean()
    expected = dict(intact_global=log / 9, intact_local=8 * log / 9, intact_patch=log / 2, same_view=2 * log)
    assert {name: found['uniform'][name] for name in expected} == pytest.approx(expected)
    assert at_uniform({'same_view': ([1], [2 * log])}, found) == ['same_view']


WITH_RUNS = ['poa_demo.py']
DISTILLATIONS = ['recover_vit_small.py', *(f'{name}.py' for name in SEED_CONFIGS)]
WITHOUT_PROTOTYPES = ['coding_rate_vit_small.py', *DISTILLATIONS]


@pytest.mark.parametrize('recipe', sorted({*(path.name for path in PRETRAINING), *WITHOUT_PROTOTYPES} - set(WITH_RUNS)))
def test_a_recipe_without_runs_has_the_reference_of_its_schedules(tmp_path, recipe):
    write_run(tmp_path, simulated(0), recipe)
    found = find_reference(recipe_of(str(tmp_path)))
    assert found['source'] == f'the schedules of {recipe}'
    teacher = {'momentum', 'teacher_temp'} if recipe not in DISTILLATIONS else set()
    assert set(found['bands']) == {'base_lr', 'weight_decay', *teacher}
    last = load_config(next(CONFIGS.rglob(recipe)), {}, None, 'none').train_cfg.max_iters
    assert all(band['steps'][-1] == last for band in found['bands'].values())
    if recipe in WITHOUT_PROTOTYPES:
        assert found['uniform'] == {}
    else:
        assert found['uniform']['intact_global' if 'intact_global' in found['uniform'] else 'elastic_global'] > 0


def test_the_config_of_a_run_that_is_not_ours(tmp_path):
    write_run(tmp_path, simulated(0), 'mine.py')
    (tmp_path / 'mine.py').write_text((CONFIGS / 'poa_demo.py').read_text().replace("'_base_/", f"'{CONFIGS}/_base_/"))
    assert recipe_of(str(tmp_path)) == str(tmp_path / 'mine.py')
    assert find_reference(recipe_of(str(tmp_path)))['source'] == 'the schedules of mine.py'


def write_run(folder, curves, recipe='poa_vitl.py'):
    (folder / '1' / 'vis_data').mkdir(parents=True)
    (folder / recipe).write_text('')
    lines = [
        json.dumps({'step': step} | {name: dict(zip(*curve))[step] for name, curve in curves.items()}) for step in STEPS
    ]
    (folder / '1' / 'vis_data' / 'scalars.json').write_text('\n'.join(lines))
    return str(folder)


def test_the_command(tmp_path, capsys, monkeypatch):
    runs = [write_run(tmp_path / str(seed), simulated(seed)) for seed in range(4)]
    main(['compare', '--make', *runs[:3], '--out', str(tmp_path / 'band.json')])
    main(['compare', runs[3], str(tmp_path / 'band.json')])
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].startswith('on track at step 300') and '3 runs of poa_vitl.py' in printed
    assert (tmp_path / '3' / 'compare.png').stat().st_size > 5000

    # The recipe of the run is found by itself: here its learning rate is twice what it should be.
    band = find_reference('poa_vitl')['bands']['base_lr']
    rate = [2 * float(np.interp(step, band['steps'], band['high'])) for step in STEPS]
    momentum = [0.992] * len(STEPS)
    run = write_run(tmp_path / 'wrong', dict(base_lr=(STEPS, rate), momentum=(STEPS, momentum)))
    main(['compare', run])
    assert capsys.readouterr().out.splitlines()[-1] == 'off, first at step 20 in base_lr'
    for arguments, message in [([], 'give the folder of a run'), (['--make', *runs], 'and --out FILE.json')]:
        with pytest.raises(SystemExit):
            main(['compare', *arguments])
        assert message in capsys.readouterr().err

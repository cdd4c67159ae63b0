"""The queue: a tiny study from training to result files, and what is run again."""

import json
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from poa_mm.commands import main
from poa_mm.errors import UserError
from poa_mm.study.definition import Study
from poa_mm.study.queue import Queue

STUDY = """
title: Tiny
seeds: [0, 1]
judge:
  subnets: [64x2, 128x5]
  knn: {k: [3]}
  linear: {cached: true, iters: 2, total-batch: 8, learning-rates: [0.1]}
options: {steps: 1, batch_size: 2, total_batch: 2, train_dataloader.num_workers: 0,
  train_dataloader.persistent_workers: false}
runs:
  poa: {recipe: poa_demo}
  untrained: {recipe: poa_demo, untrained: true}
  copy: {command: 'poa import {poa} poa_demo --out {file}', output: copy.pth, judged: false}
  more: {recipe: poa_demo, options: {load_from: '{copy}', steps: 2}}
compare: [[more, poa]]
picture: [poa]
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / 'study.yaml').write_text(STUDY)
    rng = np.random.default_rng(0)
    for label, name in enumerate(('dark', 'light')):
        folder = tmp_path / 'images' / name
        folder.mkdir(parents=True)
        for i in range(5):
            pixels = rng.integers(90 * label, 90 * label + 100, (48, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f'{i}.png')
    return tmp_path


@pytest.fixture
def queue(place):
    study, images = Study.read(place / 'study.yaml'), str(place / 'images')
    return Queue(study, place / 'out', place / 'results', dict(train=images, val=images, images=images))


def make_files(queue, calls, failing=()):
    """A stand-in for the execution of commands that writes what they would write."""

    def execute(words, folder):
        name = folder.name
        calls.append((name, words[1]))
        if name in failing:
            return False
        run = next(run for run in queue.study.runs if run.stem == name)
        if words[1] in ('train', 'import'):
            queue.network(run, int(folder.parent.name[4:])).touch()
        else:
            record = dict(
                protocol=dict(amp=False),
                data=dict(train=dict(images=10), val=dict(images=10)),
                classes=2,
                results=[dict(kind='pretrained', subnet='64x2', params=100, best=50.0)],
            )
            (folder / f'{words[1]}.json').write_text(json.dumps(record))
        return True

    return execute


@pytest.fixture
def fast(queue, monkeypatch):
    """The queue without computation: ``fast(failing)`` returns the list of commands that are executed."""
    monkeypatch.setattr('poa_mm.study.results.training_cost', lambda cfg: {})

    def start(failing=()):
        calls = []
        monkeypatch.setattr(
            Queue, '_execute', lambda self, words, folder: make_files(queue, calls, failing)(words, folder)
        )
        return calls

    return start


def test_a_tiny_study_from_the_command_line(place, monkeypatch):
    def execute(self, words, folder):
        main(words[1:])
        return True

    monkeypatch.setattr(Queue, '_execute', execute)
    images = str(place / 'images')
    main(['study', str(place / 'study.yaml'), '--out', str(place / 'out'), '--fp32', '--train', images, '--val', images,
          '--seeds', '0', '--only', 'poa', 'untrained'])  # fmt: skip
    result = json.loads((place / 'out/results/poa-seed0.json').read_text())
    assert (result['steps'], result['images'], result['queries'], result['classes']) == (1, 2, 10, 2)
    assert result['accuracy'].keys() == {'knn', 'linear'} and result['accuracy']['knn'].keys() == {'64x2', '128x5'}
    assert result['params']['64x2'] < result['params']['128x5'] and result['petaflop'] > 0
    assert str(place) not in json.dumps(result)
    untrained = json.loads((place / 'out/results/untrained-seed0.json').read_text())
    assert 'thumbnails' in untrained and 'steps' not in untrained
    assert '| poa ' in (place / 'out/results/table.md').read_text() and (place / 'out/results/sizes.png').is_file()


def test_the_words_of_a_command(place):
    text = (
        (place / 'study.yaml')
        .read_text()
        .replace(
            "'poa import {poa} poa_demo --out {file}', output: copy.pth, judged: false",
            "'{peer} x.py {poa} {seed} {options}', output: copy.pth, judged: false, each: {64x2: {a: [1], b: c}}",
        )
    )
    (place / 'study.yaml').write_text(
        text.replace('{copy}', '{copy/64x2}').replace('judge:', 'values: {peer: old}\njudge:')
    )
    values = dict(train='t', val='v', peer='new')
    queue = Queue(Study.read(place / 'study.yaml'), place / 'out', place / 'results', values)
    copy = next(run for run in queue.study.runs if run.row == 'copy')
    made = str(place / 'out/seed3/poa/iter_1.pth')
    (words,) = queue.commands(copy, 3)
    assert words[:4] == ['new', 'x.py', made, '3']
    assert {'steps=1', 'a=[1]', 'b=c', 'randomness.seed=3'} < set(words[4:])
    judged = replace(copy, judged=True, recipe='poa_demo')  # with the options that its command was given
    assert {'a=[1]', 'randomness.seed=3'} < set(queue.commands(judged, 3)[1])
    poa = replace(queue.study.runs[0], options={'steps': '{peer}', 'load_from': '{peer}.pth'})
    numbered = replace(queue, values={**values, 'peer': '20'})
    assert numbered.run_options(poa, 3) == {'steps': 20, 'load_from': '20.pth', 'randomness.seed': 3}
    own = replace(judged, recipe='')  # its file holds its config
    assert '--cfg-options' not in queue.commands(own, 3)[1]
    more = queue.study.runs[-1]
    assert f'load_from={place}/out/seed3/copy-64x2/copy.pth' in queue.commands(more, 3)[0]


def test_all_runs_of_a_seed_then_of_the_next(queue, fast):
    calls = fast()
    queue.run(queue.study.runs, [0, 1])
    one = [('poa', 'train'), ('poa', 'knn'), ('poa', 'linear'), ('untrained', 'knn'), ('untrained', 'linear')]
    one += [('copy', 'import'), ('more', 'train'), ('more', 'knn'), ('more', 'linear')]
    assert calls == one + one
    assert len(list(queue.results.iterdir())) == 6  # copy is not judged


def test_what_exists_is_not_computed_again(queue, fast):
    queue_calls = fast()
    queue.run(queue.study.runs, [0])
    assert queue_calls
    (queue.results / 'more-seed0.json').unlink()
    (queue.out / 'seed0/more/linear.json').unlink()
    calls = fast()
    queue.run(queue.study.runs, [0])
    assert calls == [('more', 'linear')]
    # A network is made again for a run that needs it, but not judged again.
    (queue.results / 'more-seed0.json').unlink()
    for file in (queue.out / 'seed0').glob('*/*.*'):
        file.unlink()
    calls = fast()
    queue.run(queue.study.runs, [0])
    assert calls == [('poa', 'train'), ('copy', 'import'), ('more', 'train'), ('more', 'knn'), ('more', 'linear')]


def test_a_failure_stops_only_those_that_need_it(queue, fast):
    calls = fast(failing=['copy'])
    with pytest.raises(UserError, match=r'2 of 4 runs failed: copy \(seed 0\), more \(seed 0\); the same command'):
        queue.run(queue.study.runs, [0])
    assert ('untrained', 'linear') in calls and ('more', 'train') not in calls
    calls = fast()
    queue.run(queue.study.runs, [0])
    assert calls == [('copy', 'import'), ('more', 'train'), ('more', 'knn'), ('more', 'linear')]


def test_jobs_run_at_the_same_time(queue, fast, monkeypatch):
    calls = fast()
    plain, both = Queue._execute, threading.Barrier(2, timeout=20)

    def meet(self, words, folder):
        if words[1] == 'knn' and folder.name in ('poa', 'untrained'):
            both.wait()  # breaks unless the other one is running too
        return plain(self, words, folder)

    monkeypatch.setattr(Queue, '_execute', meet)
    queue.run(queue.study.runs, [0], jobs=2)
    assert len(calls) == 9


def test_stop_ends_what_runs_and_starts_nothing_more(place):
    """Two runs at a time, both wait; SIGTERM to them ends them, and the third is not started."""
    script = 'import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(60)'
    runs = ''.join(
        f"  {name}: {{command: '{{python}} -c {{script}} {{file}}', output: started, judged: false}}\n"
        for name in 'abc'
    )
    text = f'title: t\nseeds: [0]\njudge: {{knn: }}\nvalues: {{python: x, script: x}}\nruns:\n{runs}'
    (place / 'study.yaml').write_text(text + "  d: {recipe: poa_demo, options: {load_from: '{a}{b}{c}'}}\n")
    values = dict(train='', val='', python=sys.executable, script=script)
    queue = Queue(Study.read(place / 'study.yaml'), place / 'out', place / 'results', values)
    started = [place / f'out/seed0/{name}/started' for name in 'abc']

    def stop():
        while not all(path.exists() for path in started[:2]):
            time.sleep(0.05)
        queue.stop()

    threading.Thread(target=stop).start()
    begin = time.monotonic()
    with pytest.raises(UserError, match='4 of 4 runs failed'):
        queue.run(queue.study.runs, [0], jobs=2)
    assert time.monotonic() - begin < 50 and not started[2].exists() and not queue.processes


def test_a_program_that_does_not_exist_stops_only_those_that_need_it(place, capsys):
    (place / 'study.yaml').write_text("""
title: t
seeds: [0]
judge: {knn: }
runs:
  typo: {command: '{python}o {file}', output: file, judged: false}
  other: {command: 'touch {file}', output: file, judged: false}
  both: {recipe: poa_demo, options: {load_from: '{typo}{other}'}}
values: {python: no-such-program}
""")
    queue = Queue(Study.read(place / 'study.yaml'), place / 'out', place / 'results', dict(train='', val=''))
    with pytest.raises(UserError, match=r'2 of 3 runs failed: typo \(seed 0\), both \(seed 0\)'):
        queue.run(queue.study.runs, [0])
    assert 'cannot run no-such-programo: No such file or directory' in capsys.readouterr().out
    assert (place / 'out/seed0/other/file').exists() and not queue.processes


def test_mistakes_are_found_before_anything_runs(place, queue, fast, capsys):
    calls = fast()
    arguments = ['study', str(place / 'study.yaml'), '--out', str(place / 'out'), '--fp32']
    images = ['--train', 'images', '--val', 'images']
    text = (place / 'study.yaml').read_text()
    for change, options, message in [
        (('steps: 1', 'stepps: 1'), images, "no 'stepps'; near are steps"),
        (('iters: 2', 'itters: 2'), images, 'unrecognized arguments: --itters'),
        (('{copy}', '{teacher}'), images, "uses 'teacher', which does not exist"),
        (('', ''), [], '--train DIR and --val DIR: give both'),
        (('', ''), [*images, '--set', 'teacher'], '--set takes NAME=VALUE'),
    ]:
        (place / 'study.yaml').write_text(text.replace(*change))
        with pytest.raises(SystemExit) as stopped:
            main([*arguments, *options])
        assert stopped.value.code == 2 and message in capsys.readouterr().err
    assert not calls

"""``poa replay``: a skipped step computed again, value by value, and the module where it began."""

import json

import pytest
import torch

from poa_mm.commands import main
from poa_mm.datasets import SeededInfiniteSampler
from tests.helpers.mistakes import SMALL, WORDS, forget_runs

TRAIN = ['train', WORDS['DEMO'], '--work-dir', 'run', '--resume', '--cfg-options', *SMALL]
TRAIN += [
    'total_batch=8',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.checkpoint.max_keep_ckpts=9',
    'default_hooks.progress=None',
]


def run(arguments):
    forget_runs()
    main(arguments)


@pytest.fixture
def skipped(tmp_path, monkeypatch, configs_are_not_printed):
    """A run whose last steps are skipped: after step 2, a layer of the head overflows."""
    monkeypatch.chdir(tmp_path)
    run([*TRAIN, 'train_cfg.max_iters=2'])
    path = tmp_path / 'run/iter_2.pth'
    contents = torch.load(path, weights_only=False)
    contents['state_dict']['head.heads.0.mlp.2.weight'].fill_(3e38)
    torch.save(contents, path)
    run([*TRAIN, 'train_cfg.max_iters=5'])
    # Pretty text of a config is left out for speed, so the run has no usable copy of it.
    (tmp_path / 'run/poa_demo.py').write_text(f"_base_ = '{WORDS['DEMO']}'\n")
    return tmp_path / 'run'


def test_a_skipped_step_is_computed_again(skipped, capsys, monkeypatch):
    files = sorted(path.name for path in (skipped / 'skipped').iterdir())
    assert files == [f'step_{number}_rank_0.json' for number in (3, 4, 5)]
    path = skipped / 'skipped/step_4_rank_0.json'
    record = json.loads(path.read_text())
    assert record['first_non_finite'] == 'intact_global' and record['values']['loss'] == 'nan'
    assert record['values']['intact_koleo'] > 0  # of the backbone's features, which are finite
    assert [len(batch['images']) for batch in record['micro_batches']] == [4, 4]
    record['values']['elastic_koleo'] += 1e-6
    path.write_text(json.dumps(record))
    before = {file: file.read_bytes() for file in skipped.rglob('*') if file.is_file()}
    replay = ['replay', str(path), '--cfg-options', *TRAIN[TRAIN.index('--cfg-options') + 1 :]]
    capsys.readouterr()
    run(replay)
    lines = capsys.readouterr().out.splitlines()
    assert f'step 4 of {skipped}, computed again from iter_2.pth' in lines
    # All but the changed one are equal to the last bit, the others' NaN too.
    assert 'other values than recorded: elastic_koleo' in lines
    assert f'intact_koleo: {record["values"]["intact_koleo"]}' in lines
    assert 'first module with an output that is not finite: head.heads.0.mlp.2 (Linear)' in lines
    assert 'first value that is not finite: intact_global' in lines
    assert (
        next(line for line in lines if line.startswith('first gradient')) != 'first gradient that is not finite: none'
    )
    assert before == {file: file.read_bytes() for file in skipped.rglob('*') if file.is_file()}

    path.write_text(json.dumps(dict(record, world_size=2)))
    with pytest.raises(SystemExit):
        run(replay)
    assert 'torchrun --nproc_per_node 2' in capsys.readouterr().err


@pytest.mark.parametrize('content', ['{', '[]', '{"step": 3}', '{"step": 3, "rank": 0, "world_size": 1, "seed": 0}'])
def test_other_files_are_refused(content, tmp_path, capsys):
    path = tmp_path / 'step.json'
    path.write_text(content)
    with pytest.raises(SystemExit) as stopped:
        main(['replay', str(path)])
    assert stopped.value.code == 2 and 'is not a skipped step' in capsys.readouterr().err


def test_draws_of_a_batch_are_those_of_the_stream():
    sampler = SeededInfiniteSampler(range(7), batch_size=3, seed=5)
    stream = iter(sampler)
    for number in range(5):
        assert sampler.batch(number) == [next(stream) for _ in range(3)]

"""The command lines ``poa train``, ``poa test`` and their launch scripts, on a toy model."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from poa_mm.commands import main

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools'

TOY = """
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS


@MODELS.register_module()
class ToyModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, mode='tensor'):
        y = self.linear(x)
        return dict(loss=y.square().mean()) if mode == 'loss' else list(y)


@DATASETS.register_module()
class ToyDataset(torch.utils.data.Dataset):
    metainfo = {}

    def __len__(self):
        return 8

    def __getitem__(self, i):
        return dict(x=torch.tensor([float(i), 1.0]))


@METRICS.register_module()
class Count(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.extend(data_samples)

    def compute_metrics(self, results):
        return dict(samples=len(results))
"""

CONFIG = """
custom_imports = dict(imports=['toy'])
model = dict(type='ToyModel')
data = dict(
    batch_size=2, num_workers=0, dataset=dict(type='ToyDataset'),
    sampler=dict(type='DefaultSampler', shuffle=False), collate_fn=dict(type='default_collate'))
train_dataloader = test_dataloader = data
test_evaluator = dict(type='Count')
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2)
test_cfg = dict()
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
model_wrapper_cfg = dict(find_unused_parameters=True)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2))
log_processor = dict(by_epoch=False)
"""


@pytest.fixture
def toy(tmp_path):
    (tmp_path / 'toy.py').write_text(TOY)
    (tmp_path / 'toy_config.py').write_text(CONFIG)
    (tmp_path / 'plain.py').write_text('model = dict()')
    return tmp_path


def run(folder, *command):
    """Run a command in a folder without a GPU and give back its exit status and all it printed."""
    env = {k: v for k, v in os.environ.items() if k not in ('MASTER_ADDR', 'PORT', 'NNODES')}
    env |= dict(PYTHON=sys.executable, PYTHONPATH=f'{folder}:{ROOT}', CUDA_VISIBLE_DEVICES='-1', OMP_NUM_THREADS='1')
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    return done.returncode, done.stdout


def test_train_resume_and_test(toy, monkeypatch, capsys):
    train = [sys.executable, TOOLS / 'train.py', 'toy_config.py']
    status, text = run(toy, *train, '--resume')
    assert status == 0, text
    assert 'Nothing to resume in work_dirs/toy_config' in text
    assert (toy / 'work_dirs/toy_config/iter_2.pth').is_file()

    status, text = run(toy, *train, '--resume', '--cfg-options', 'train_cfg.max_iters=4')
    assert status == 0, text
    assert 'Iter(train) [3/4]' in text and 'Iter(train) [2/4]' not in text

    checkpoint = 'work_dirs/toy_config/iter_4.pth'
    monkeypatch.chdir(toy)
    monkeypatch.syspath_prepend(toy)
    main(['test', 'toy_config.py', checkpoint, '--out', 'out/metrics.json'])
    record = json.loads((toy / 'out/metrics.json').read_text())
    assert record['metrics'] == record['results'][0]['metrics'] == {'samples': 8}
    assert (record['protocol']['name'], record['iteration'], record['config']) == ('test', 4, 'toy_config.py')
    assert record['data']['val'] == dict(source='ToyDataset', images=8)

    contents = torch.load(toy / checkpoint, weights_only=False)
    name, second, *_ = contents['state_dict']
    torch.save(dict(contents, state_dict={name: torch.zeros(7, 7)}), toy / 'other.pth')
    torch.save(dict(state_dict={}, meta=dict(subnet='S')), toy / 'S.pth')
    wrong = f'missing or of other shapes are {name}, {second}'
    for file, message in [('other.pth', f'other.pth does not fit this model: {wrong}'),
                          ('S.pth', 'S.pth is the sub-network S, not a trained model')]:  # fmt: skip
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(['test', 'toy_config.py', file])
        assert stopped.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]


def test_two_cpu_processes(toy):
    status, text = run(toy, TOOLS / 'dist_train.sh', 'toy_config.py', 2, '--work-dir', 'ddp')
    assert status == 0, text
    assert '2 CPU processes over gloo' in text
    assert 'Distributed training: True' in text
    assert (toy / 'ddp/iter_2.pth').is_file()


@pytest.mark.parametrize(
    ('command', 'arguments', 'message'),
    [
        ('train', ['nowhere.py'], "config 'nowhere.py' does not exist"),
        ('train', ['toy_config.py', '--cfg-options', 'lr'], "takes KEY=VALUE, got 'lr'"),
        ('test', ['plain.py', 'no.pth'], "checkpoint 'no.pth' does not exist"),
    ],
)
def test_errors_are_one_line(toy, command, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(toy)
    with pytest.raises(SystemExit) as stopped:
        main([command, *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_signal_to_one_of_two_processes_stops_both_with_a_checkpoint(toy):
    """Sent to the second process, in the middle of a long run."""
    env = os.environ | dict(PYTHON=sys.executable, PYTHONPATH=str(toy), CUDA_VISIBLE_DEVICES='-1', OMP_NUM_THREADS='1')
    command = [TOOLS / 'dist_train.sh', 'toy_config.py', '2', '--work-dir', 'ddp', '--cfg-options']
    options = [
        'train_cfg.max_iters=1000000',
        'default_hooks.checkpoint.interval=1000000',
        'default_hooks.logger.interval=1',
    ]
    launcher = subprocess.Popen(
        [*command, *options], cwd=toy, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        lines = []
        for line in launcher.stdout:
            lines.append(line)
            if 'Iter(train)' in line:
                break
        os.kill(_process_of_rank(1, str(toy)), signal.SIGUSR1)
        rest, _ = launcher.communicate(timeout=120)
    finally:
        launcher.kill()
    text = ''.join(lines) + rest
    (checkpoint,) = (toy / 'ddp').glob('iter_*.pth')
    step = checkpoint.stem.removeprefix('iter_')
    assert text.count(f'ended the run after step {step}: its checkpoint is written') == 2, text
    assert 'SIGUSR1 ended' in text and 'exitcode  : 75' in text, text
    status, text = run(
        toy, *command[:3], '--work-dir', 'ddp', '--resume', '--cfg-options', f'train_cfg.max_iters={int(step) + 2}'
    )
    assert status == 0 and f'resumed epoch: 0, iter: {step}' in text, text


def _process_of_rank(rank, folder):
    """Id of the training process of a rank whose ``PYTHONPATH`` has the folder."""
    for path in Path('/proc').glob('[0-9]*/environ'):
        try:
            values = path.read_bytes().split(b'\0')
        except OSError:  # ended, or of another user
            continue
        here = any(value.startswith(b'PYTHONPATH=') and folder.encode() in value for value in values)
        if here and f'RANK={rank}'.encode() in values:
            return int(path.parent.name)
    raise AssertionError(f'no process of rank {rank}')


def test_slurm_command(toy):
    srun = toy / 'srun'
    srun.write_text('#!/bin/sh\necho "$MASTER_PORT $@"\n')
    srun.chmod(0o755)
    path = f'{toy}:{os.environ["PATH"]}'
    settings = [f'PATH={path}', 'GPUS=16', 'SRUN_ARGS=--time 1:00', 'PORT=1234']
    status, text = run(toy, 'env', *settings, TOOLS / 'slurm_train.sh', 'gpu', 'my job', 'plain.py', '--amp')
    assert status == 0, text
    assert text.startswith('1234 --partition gpu --job-name my job --gres gpu:8 --ntasks 16')
    assert '--time 1:00' in text
    assert text.strip().endswith('train.py plain.py --launcher slurm --amp')


def test_slurm_job_that_is_queued_again(toy):
    """Slurm's commands are replaced: ``sbatch`` runs the script of the job, ``srun`` ends as an interrupted run."""
    commands = dict(
        sbatch='echo "sbatch $@"; for word; do script=$word; done; SLURM_JOB_ID=77 bash -c "$script"',
        srun='echo "srun $@"; exit ${CODE}',
        scontrol='echo "scontrol $@"',
    )
    for name, script in commands.items():
        (toy / name).write_text(f'#!/bin/bash\n{script}\n')
        (toy / name).chmod(0o755)
    for code, queued in [(75, True), (3, False), (0, False)]:
        settings = [f'PATH={toy}:{os.environ["PATH"]}', 'REQUEUE=1', 'GRACE=300', f'CODE={code}']
        status, text = run(toy, 'env', *settings, TOOLS / 'slurm_train.sh', 'gpu', 'my job', 'plain.py', '--amp')
        assert status == code, text
        assert '--requeue --open-mode=append --signal=USR1@300 --wrap' in text
        assert 'train.py plain.py --launcher slurm --amp --resume' in text
        assert ('scontrol requeue 77' in text) == queued


def test_mistake_of_the_user_is_one_sentence(tmp_path, capsys):
    """Found only when the data is built, well after the command line was read."""
    with pytest.raises(SystemExit) as stopped:
        main(['train', 'poa_vit_small', '--work-dir', str(tmp_path), '--cfg-options', f'data_root={tmp_path}/nowhere'])
    printed = capsys.readouterr().err
    assert stopped.value.code == 2 and 'Traceback' not in printed
    assert f"the data '{tmp_path}/nowhere/' does not exist: set data_root" in printed.splitlines()[-1]

"""A resumed run draws what it would have drawn: drop path, views and sub-networks."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from poa_mm.engine.hooks.step_seed import step_seed

CONFIG = Path(__file__).resolve().parents[3] / 'configs/poa_demo.py'


@pytest.fixture
def run(tmp_path):
    """Weights and optimizer state of a few steps of a recipe with drop path."""

    def call(name, steps=4, drop_path_rate=0.4, resume=False):
        cfg = Config.fromfile(CONFIG)
        cfg.merge_from_dict(
            {
                'model.backbone.drop_path_rate': drop_path_rate,
                'model.backbone.widths': (32, 64, 32),
                'model.head': dict(num_prototypes=(32, 48), hidden_dims=32, bottleneck_dims=16),
                'train_dataloader': dict(batch_size=4, num_workers=0, persistent_workers=False),
                'train_dataloader.dataset.dataset.num_samples': 12,
                'optim_wrapper.lr_scaling.batch_size': 4,
                'optim_wrapper.accumulative_counts': 2,
                'train_cfg.max_iters': 2 * steps,
                'default_hooks.checkpoint.interval': 4,
                'param_scheduler': [dict(type='CosineLR', steps=4, final=2e-5)],
                'work_dir': str(tmp_path / name),
                'experiment_name': f'{tmp_path.name}_{name}_{steps}_{resume}',
                'log_level': 'ERROR',
                'resume': resume,
            }
        )
        hooks = {hook.type: hook for hook in cfg.custom_hooks}
        hooks['PretrainScheduleHook'].patch_loss_start = 1
        hooks['FreezeLastLayerHook'].steps = 0
        torch.manual_seed(123 * (1 + resume))  # another process has another state
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner.model.state_dict(), runner.optim_wrapper.state_dict()['state']

    return call


def test_resume_is_exact_with_drop_path(run):
    weights, state = run('whole')
    run('parts', steps=2)
    resumed, resumed_state = run('parts', resume=True)
    assert all(torch.equal(resumed[name], value) for name, value in weights.items())
    for index, entry in state.items():
        assert all(torch.equal(resumed_state[index][key], value) for key, value in entry.items())
    without, _ = run('without', drop_path_rate=0.0)
    assert not torch.equal(without['teacher.backbone.ln1.weight'], weights['teacher.backbone.ln1.weight'])


def test_seeds_differ():
    seeds = {step_seed(*key) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 2, 0), (0, 2**40, 2000)]}
    assert len(seeds) == 6
    assert step_seed(3, 5, 1) == step_seed(3, 5, 1)
    torch.manual_seed(max(seeds))

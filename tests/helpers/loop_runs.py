"""Pre-training of a tiny network, for ``test_loops.py``: in 4 processes, in 2, and resumed in 1."""

from pathlib import Path

from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

import poa_mm.datasets
import poa_mm.engine
import poa_mm.models
from poa_mm.registry import MODELS

DEMO = Path(poa_mm.__file__).parents[1] / 'configs/poa_demo.py'
STEPS, HALF, TOTAL, BATCH = 4, 2, 8, 2


@MODELS.register_module()
class SoftmaxTarget(nn.Module):
    """Targets that do not depend on the other images: Sinkhorn-Knopp works on the images of one micro-batch."""

    def forward(self, logits, temperature):
        return {kind: [(z.float() / temperature).softmax(-1) for z in heads] for kind, heads in logits.items()}


class Watch(Hook):
    """Keeps what each optimizer step sees: images, sub-networks, gradients."""

    def __init__(self):
        self.steps = []

    def before_train(self, runner):
        wrapper, model = runner.optim_wrapper, getattr(runner.model, 'module', runner.model)
        real_step, real_sampler = wrapper.step, model.sampler

        def step(**kwargs):
            self.steps[-1]['grads'] = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
            real_step(**kwargs)

        def sampler(*key):
            subnet = real_sampler(*key)
            self.steps[-1]['draws'].append((key[1], str(subnet)))
            return subnet

        wrapper.step, model.sampler = step, sampler

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        images = [batch['inputs']['global_crops'].flatten(1).sum(1).tolist() for batch in data_batch]
        self.steps.append(dict(images=images, draws=[]))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps[-1]['loss'] = outputs['loss'].detach()


def config(work_dir, steps):
    cfg = Config.fromfile(DEMO)
    cfg.model.backbone.update(widths=(32, 64, 32), drop_path_rate=0.4)
    cfg.model.head.update(num_prototypes=(32, 48), hidden_dims=32, bottleneck_dims=16)
    cfg.model.update(target=dict(type='SoftmaxTarget'), sampler=dict(mode='per_rank'))
    cfg.model.schedule.update(patch_loss_start=1)
    cfg.train_dataloader.update(batch_size=BATCH, num_workers=0, persistent_workers=False)
    cfg.train_dataloader.sampler.batch_size = BATCH
    cfg.train_dataloader.dataset.dataset.num_samples = 20
    cfg.optim_wrapper.update(total_batch=TOTAL, batch_size=BATCH)
    cfg.param_scheduler = [dict(type='CosineLR', steps=STEPS, final=2e-5)]
    cfg.default_hooks.freeze_last_layer.steps = 0
    cfg.default_hooks.checkpoint.update(interval=HALF, max_keep_ckpts=-1)
    cfg.train_cfg.max_iters = steps
    cfg.work_dir, cfg.experiment_name, cfg.log_level = str(work_dir), Path(work_dir).name, 'ERROR'
    return cfg


def run(folder, name, resume=None):
    """What :class:`Watch` kept of a run in this process."""
    cfg = config(folder / name, STEPS)
    if get_world_size() > 1:
        cfg.launcher = 'pytorch'
        cfg.model_wrapper_cfg.update(device_ids=None)
    if resume:
        cfg.resume, cfg.load_from = True, str(resume)
    watch = Watch()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(watch)
    runner.train()
    return watch.steps

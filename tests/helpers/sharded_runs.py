"""Runs of ``test_fully_sharded.py``: a tiny POA, divided among the processes and not."""

from functools import partial
from types import SimpleNamespace
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from torch.utils.data import Dataset

from poa_mm.engine import PoaRunner
from poa_mm.engine.fully_sharded import local, whole
from poa_mm.engine.hooks.warm_up import warm_up
from poa_mm.models.compiling import compile_backbone
from poa_mm.models.wrapping import unwrapped
from poa_mm.registry import MODELS
from tests.helpers.networks import VIT

STEPS, HALF, IMAGES, P = 4, 2, 12, 4  # images of a step in all processes, patches of a global crop
WRAPPERS = dict(
    plain=dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False),
    divided=dict(type='FullyShardedPOA'),
)
# What does not depend on the number of processes: one sub-network, and targets balanced over all images.
EVEN = dict(sampler=dict(mode='shared'), loss_weights=dict(koleo=0.0))
# Other sub-networks in every process, two micro-batches, blocks computed again, a step that is skipped.
UNEVEN = dict(sampler=dict(mode='per_rank'), draws=dict(number=2))
HARD = dict(backbone=dict(VIT, with_cp=True, drop_path_rate=0.25), model=UNEVEN, micro_batches=2, bad=IMAGES + 1)
CASES = dict(
    plain=dict(kind='plain'),
    divided=dict(kind='divided'),
    plain_hard=dict(kind='plain', **HARD),
    divided_hard=dict(kind='divided', **HARD),
    divided_compiled=dict(kind='divided', **HARD, compiled=True),
    two_to_one=dict(kind='plain', start=('divided', HALF), stop=HALF + 1),
    one_to_three=dict(kind='divided', start=('two_to_one', HALF + 1)),
)


class Crops(Dataset):
    """Random crops and masks of an image; those of image ``bad`` are infinite."""

    def __init__(self, bad=None):
        self.bad = bad

    def __len__(self):
        return 4 * IMAGES

    def __getitem__(self, draw):
        generator = torch.Generator().manual_seed(draw.index)
        image = dict(
            global_crops=torch.randn(2, 3, 16, 16, generator=generator),
            local_crops=torch.randn(2, 3, 8, 8, generator=generator),
            masks=torch.tensor([[True, False, False, True], [False] * P]),
        )
        if draw.index == self.bad:
            image['global_crops'] += float('inf')
        return image


def collate(images):
    """Crop by crop, as ``multi_crop_collate``."""
    stacked = {key: torch.stack([image[key] for image in images], 1).flatten(0, 1) for key in images[0]}
    return dict(inputs=stacked)


class Record(Hook):
    """The losses over the images of all processes, and what other hooks do with a model outside of its steps."""

    def __init__(self):
        self.losses, self.features = [], []

    def before_train(self, runner):
        warm_up(unwrapped(runner.model), collate([Crops()[SimpleNamespace(index=i)] for i in range(2)]), None)
        self.look(runner)

    def after_train(self, runner):
        self.look(runner)

    @torch.no_grad()
    def look(self, runner):
        images = torch.ones(1, 3, 16, 16)
        self.features.append(unwrapped(runner.model).teacher.backbone.image_features(images, '24x3'))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        loss = outputs['loss'].detach().clone()
        all_reduce(loss, 'mean')
        self.losses.append(float(loss))


def build(cfg):
    """A model with weights at which every term matters."""
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3) if parameter.ndim > 1 else parameter.data.uniform_(0.2, 1)
    return model


def run(work_dir, kind, backbone=VIT, model=EVEN, micro_batches=1, bad=None, start=None, stop=STEPS, compiled=False):
    """Losses, weights and sizes of a run that writes a checkpoint after every step.

    What is compiled runs PyTorch's graphs as they are: Inductor would take minutes.
    """
    batch_size = IMAGES // micro_batches // get_world_size()
    record = Record()
    model = dict(
        type='POA',
        backbone=backbone,
        head=dict(type='MultiPrototypeHead', num_prototypes=(10, 7), hidden_dims=12, bottleneck_dims=6),
        schedule=dict(patch_loss_start=1),
        compile_blocks=compiled,
        **model,
    )
    cfg = dict(
        model=build(model),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            sampler=dict(type='SeededInfiniteSampler', shuffle=False, batch_size=batch_size),
            dataset=Crops(bad),
            collate_fn=collate,
        ),
        train_cfg=dict(type='StepTrainLoop', max_iters=stop),
        optim_wrapper=dict(
            type='PoaOptimWrapper',
            constructor='LayerDecayOptimWrapperConstructor',
            # eps hides rounding: the gradients of key biases are nothing else.
            optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.04, eps=1e-4, fused=True),
            total_batch=IMAGES,
            batch_size=batch_size,
            clip_grad=dict(max_norm=0.05, separately=True),
            paramwise_cfg=dict(layer_decay_rate=0.9),
        ),
        param_scheduler=[dict(type='CosineLR', steps=STEPS, warmup=1, final=2e-5)],
        default_hooks=dict(
            runtime_info=dict(type='LazyRuntimeInfoHook'),
            checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=1),
            start_check=dict(type='StartCheckHook'),
            teacher=dict(type='TeacherEMAHook', start=0.9, final=0.99, steps=STEPS),
            freeze=dict(type='FreezeLastLayerHook', steps=1),
        ),
        custom_hooks=[record],
        default_scope='poa_mm',
        experiment_name=work_dir.name,
        randomness=dict(seed=0),
        log_level='WARNING',
        launcher='pytorch' if get_world_size() > 1 else 'none',
    )
    if start:
        folder, step = start
        cfg.update(resume=True, load_from=str(work_dir.parent / folder / f'iter_{step}.pth'))
    runner = PoaRunner(cfg=Config(dict(model_wrapper_cfg=WRAPPERS[kind])), **cfg)
    with (
        mock.patch('poa_mm.models.poa.compile_backbone', partial(compile_backbone, backend='aot_eager')),
        mock.patch('torch.compile', partial(torch.compile, backend='aot_eager')),
    ):
        runner.train()
    module, wrapper = unwrapped(runner.model), runner.optim_wrapper
    values = [value for entry in wrapper.optimizer.state.values() for key, value in entry.items() if key != 'step']
    return dict(
        losses=record.losses,
        features=torch.stack(record.features),
        weights={name: whole(value).clone() for name, value in module.state_dict().items()},
        skipped=float(wrapper.skipped_steps),
        norms={name: float(value) for name, value in wrapper.grad_norms.items()},
        sizes=dict(
            student=sum(local(p).numel() for p in module.parameters() if p.requires_grad),
            teacher=sum(local(p).numel() for p in module.teacher.parameters()),
            optimizer=sum(local(value).numel() for value in values),
        ),
    )


def run_cases(folder, cases):
    """The results of several runs in this process."""
    return {case: run(folder / case, **CASES[case]) for case in cases}

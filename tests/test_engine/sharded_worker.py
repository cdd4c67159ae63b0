"""One process of ``test_sharded_adamw.py``: runs of a tiny model, sharded and not.

python sharded_worker.py RANK WORLD_SIZE FOLDER
"""

import gc
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.dist import all_reduce
from mmengine.hooks import Hook

spec = spec_from_file_location('engine_conftest', Path(__file__).parent / 'conftest.py')
conftest = module_from_spec(spec)
spec.loader.exec_module(conftest)

STEPS, HALF, IMAGES = 4, 2, 4


class Losses(Hook):
    """The loss of every step over the images of all processes."""

    def __init__(self):
        self.seen = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        loss = outputs['loss'].detach().clone()
        all_reduce(loss, 'mean')
        self.seen.append(float(loss))


def run(work_dir, kind, processes=1, steps=STEPS, **kwargs):
    """Losses, weights and the optimizer's own state after a run that writes a checkpoint at half and at the end."""
    losses = Losses()
    hooks = [
        dict(type='TeacherEMAHook', start=0.9, final=0.99, steps=STEPS),
        dict(type='FreezeLastLayerHook', steps=1),
        losses,
    ]
    wrapper = dict(
        type='PoaOptimWrapper',
        constructor='LayerDecayOptimWrapperConstructor',
        optimizer=dict(type=kind, lr=0.01, weight_decay=0.04, fused=True),
        clip_grad=dict(max_norm=0.05, separately=True),
        paramwise_cfg=dict(layer_decay_rate=0.9),
    )
    runner = conftest.build_runner(
        work_dir,
        steps=STEPS,
        batch_size=IMAGES // processes,
        hooks=hooks,
        optim_wrapper=wrapper,
        default_hooks=dict(checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False, interval=HALF)),
        train_cfg=dict(type='StepTrainLoop', max_iters=steps),
        model_wrapper_cfg=dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=True,
        ),
        launcher='pytorch' if processes > 1 else 'none',
        **kwargs,
    )
    runner.train()
    state = runner.optim_wrapper.optimizer.state
    model = getattr(runner.model, 'module', runner.model)
    return dict(
        losses=losses.seen,
        weights={k: v.clone() for k, v in model.state_dict().items()},
        numbers=sum(v.numel() for entry in state.values() for v in entry.values()),
    )


def main(rank, world_size, folder):
    torch.set_num_threads(1)
    os.environ.update(LOCAL_RANK=str(rank), RANK=str(rank), WORLD_SIZE=str(world_size))
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=world_size)
    half = f'iter_{HALF}.pth'
    results = dict(
        plain=run(folder / 'plain', 'AdamW', world_size),
        sharded=run(folder / 'sharded', 'ShardedAdamW', world_size),
        again=run(folder / 'again', 'ShardedAdamW', world_size, resume=True, load_from=str(folder / 'sharded' / half)),
        from_one=run(
            folder / 'from_one', 'ShardedAdamW', world_size, resume=True, load_from=str(folder / 'one' / half)
        ),
    )
    torch.save(results, folder / f'{rank}.pt')
    # The models of the four runs hold threads of the group; with them left, a process was seen to abort at its exit.
    gc.collect()
    dist.barrier()
    dist.destroy_process_group()


if __name__ == '__main__':
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))

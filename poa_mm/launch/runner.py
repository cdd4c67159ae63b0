"""From a checked config to its runner: mixed precision, resuming, processes."""

import atexit
import datetime
import os
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from poa_mm.config import check_config
from poa_mm.engine import PoaRunner
from poa_mm.engine.fully_sharded import is_divided
from poa_mm.engine.newest import find_damage, newest_intact
from poa_mm.errors import UserError, not_found
from poa_mm.files import load_weights

# What the launchers of several processes set, and how they are started.
LAUNCHED_BY = dict(pytorch=('RANK', 'WORLD_SIZE', 'MASTER_ADDR'), slurm=('SLURM_PROCID', 'SLURM_NTASKS'))
START = dict(
    pytorch='start it with torchrun or tools/dist_train.sh', slurm='start it with srun or tools/slurm_train.sh'
)
TRAINING = ('train_dataloader', 'train_cfg', 'optim_wrapper')  # all or none
MMENGINE_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')


def enable_amp(cfg: Config) -> None:
    """Switch mixed precision on.

    Our own wrapper computes in its ``amp_dtype``, by default bfloat16. MMEngine's becomes its ``AmpOptimWrapper``
    (float16 with loss scaling), which works on a GPU only; without one, ours with bfloat16 takes its place.

    Raises:
        UserError: The config's optimizer wrapper is neither, or ours cannot drive its optimizer.
    """
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    kind = getattr(kind, '__name__', kind).rpartition('.')[2]
    if kind == 'PoaOptimWrapper':
        wrapper.amp_dtype = wrapper.get('amp_dtype') or 'bfloat16'
    elif kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise UserError(f'--amp knows PoaOptimWrapper, OptimWrapper and AmpOptimWrapper, not {kind!r}')
    elif torch.cuda.is_available():
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')
    else:
        _bfloat16_on_cpu(wrapper)


def _bfloat16_on_cpu(wrapper: ConfigDict) -> None:
    """MMEngine's ``AmpOptimWrapper`` refuses to be built without a GPU."""
    optimizer = wrapper.get('optimizer', {}).get('type')
    if optimizer not in ('Adam', 'AdamW'):
        raise UserError(f'--amp without a GPU needs the optimizer Adam or AdamW, not {optimizer!r}')
    wrapper.type, wrapper.amp_dtype = 'poa_mm.PoaOptimWrapper', 'bfloat16'
    wrapper.optimizer.fused = True
    for key in ('loss_scale', 'dtype', 'use_fsdp'):
        wrapper.pop(key, None)


def set_resume(cfg: Config, checkpoint: str) -> None:
    """Go on from a checkpoint, or from the newest complete one of the work dir where there is one.

    With nothing to resume, ``load_from`` of the config stays: the run starts as it would have.

    Args:
        cfg: Changed in place.
        checkpoint: A file, or ``'auto'``.

    Raises:
        UserError: The file, or the one that the work dir names as its newest, does not exist.
        UserError: It, or every checkpoint of the work dir, is damaged, or it is not of a training run.
    """
    found = newest_intact(cfg.work_dir) if checkpoint == 'auto' else checkpoint
    if found is None:
        print_log(f'Nothing to resume in {cfg.work_dir}: training starts from the beginning')
        cfg.resume = False
        return
    if not Path(found).is_file():
        raise UserError(f'cannot resume: checkpoint {not_found(found)}')
    if 'message_hub' not in load_weights(found):
        raise UserError(f'cannot resume: {found} holds weights alone; to start from them write load_from={found}')
    if checkpoint != 'auto' and (damage := find_damage(found)):
        raise UserError(f'cannot resume: {found} is damaged ({damage}); --resume alone takes the newest complete one')
    cfg.resume, cfg.load_from = True, str(found)


def prepare_processes(cfg: Config, local_rank: int = 0) -> None:
    """Start the process group over gloo on machines without a GPU, which MMEngine's launcher does not support.

    Args:
        cfg: Its ``launcher`` says how the processes were started; gets what DDP needs on CPUs.
        local_rank: Of this process, if the environment does not set it.

    Raises:
        UserError: No launcher has started this process, there are more processes than GPUs on this machine, or Slurm
            is used without GPUs.
    """
    if cfg.launcher == 'none':
        return
    lacking = [name for name in LAUNCHED_BY[cfg.launcher] if name not in os.environ]
    if lacking:
        raise UserError(
            f'--launcher {cfg.launcher} needs {", ".join(lacking)} in the environment: {START[cfg.launcher]}'
        )
    os.environ.setdefault('LOCAL_RANK', str(local_rank))
    # Left to the end of Python, gloo's threads are now and then destroyed while they run, which aborts the process.
    atexit.register(_leave_processes)
    gpus, local_rank = torch.cuda.device_count(), int(os.environ['LOCAL_RANK'])
    if torch.cuda.is_available():
        if cfg.launcher == 'pytorch' and local_rank >= gpus:
            raise UserError(f'process {local_rank} of this machine has no GPU: it has only {gpus}')
        return
    if cfg.launcher == 'slurm':
        raise UserError('--launcher slurm needs GPUs; on CPU nodes start tools/dist_train.sh with srun')
    dist_cfg = cfg.get('env_cfg', {}).get('dist_cfg', {})
    limit = {'timeout': datetime.timedelta(seconds=dist_cfg.timeout)} if 'timeout' in dist_cfg else {}
    torch.distributed.init_process_group('gloo', **limit)
    if torch.distributed.get_rank() == 0:
        print_log(f'No GPU: {torch.distributed.get_world_size()} CPU processes over gloo')
    # DDP takes no device ids for a module on the CPU; MMEngine sets them unless they are there.
    unused = cfg.get('find_unused_parameters', False)
    wrapper = cfg.get('model_wrapper_cfg') or dict(broadcast_buffers=False, find_unused_parameters=unused)
    if not is_divided(cfg):
        cfg.model_wrapper_cfg = {**wrapper, 'device_ids': None}


def build_runner(cfg: Config) -> Runner:
    """Check a config and build its runner.

    Raises:
        UserError: A type does not exist, a class does not take a key, or a part of the training is missing.
    """
    check_config(cfg)
    lacking = [name for name in TRAINING if cfg.get(name) is None]
    if lacking and len(lacking) < len(TRAINING):
        raise UserError(f'training needs {", ".join(TRAINING)}, but there is no {" and no ".join(lacking)}')
    train, logger = cfg.get('train_cfg') or {}, cfg.get('default_hooks', {}).get('logger') or {}
    if 'max_iters' in train and 'interval' in logger:  # a short trial has curves too
        logger.interval = min(logger.interval, max(1, train.max_iters // 3))
    if train.get('type') == 'EpochBasedTrainLoop' or ('type' not in train and train.get('by_epoch')):
        train.pop('by_epoch', None)
        train.type = 'poa_mm.ResumableEpochLoop'
    # Under keys, so that a config can change them or leave them out with None.
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    for key, kind in (('start_check', 'StartCheckHook'), ('interrupt', 'InterruptHook')):
        hooks.setdefault(key, dict(type=f'poa_mm.{kind}'))
    for key in [key for key, hook in hooks.items() if hook is None and key not in MMENGINE_HOOKS]:
        del hooks[key]  # MMEngine takes None for its own alone
    return RUNNERS.build(cfg) if 'runner_type' in cfg else PoaRunner.from_cfg(cfg)


def open_data(runner: Runner, *loops: str) -> None:
    """Open the data sets and metrics of some loops (``'train'``, ``'val'``, ``'test'``), which are built only once.

    Raises:
        UserError: A file or folder does not exist, or a folder has another number of classes than the data set.
    """
    try:
        for loop in loops:
            getattr(runner, f'{loop}_loop')
    except AssertionError as error:
        if 'number of specified classes' not in str(error):  # mmpretrain's
            raise
        raise UserError(f'data of {runner.cfg.filename}: {" ".join(str(error).split())}') from error
    except FileNotFoundError as error:
        missing = f'{error.filename} does not exist' if error.filename else str(error)
        raise UserError(f'data of {runner.cfg.filename}: {missing}; --cfg-options data_root=... says where') from error


def _leave_processes() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

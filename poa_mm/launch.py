"""From a command line to a config and its runner."""

import atexit
import datetime
import difflib
import os
from collections.abc import Iterator
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from poa_mm.compat import DISTRIBUTIONS
from poa_mm.errors import UserError

from .config_check import check_config
from .files import load_weights
from .recipes import find_config
from .variables import ConfigFile, config_files, read_with_variables

TOOLBOXES = {'mmpretrain', 'mmdet', 'mmseg'}

# Sections that MMEngine's runner or this package reads; every other name is a variable of the config itself.
READ = {
    *signature(Runner).parameters,
    *('activation_checkpointing', 'compile', 'custom_imports', 'efficient_conv_bn_eval', 'find_unused_parameters'),
    *('model_wrapper_cfg', 'runner_type', 'strategy', 'tta_model', 'tta_pipeline'),
    *('knn', 'linear', 'cluster', 'robustness', 'backgrounds'),
    *('train_pipeline', 'test_pipeline'),  # variables that Config.dump keeps although nothing refers to them any more
}

MMENGINE_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')


def load_config(path: str, options: dict[str, Any], work_dir: str | None, launcher: str, local_rank: int = 0) -> Config:
    """Read a config and apply the command line to it.

    A key that is a variable of the config (``steps``, ``data_root``) is replaced where it is assigned, also in bases,
    and everything that depends on it follows; all other keys are merged into the evaluated config.

    Args:
        path: The config file, or the name of one of ours (:func:`find_config`).
        options: Keys and their values, as ``--cfg-options`` gives them.
        work_dir: Overrides the config's own; default: ``work_dirs/<name of the config>``.
        launcher: ``'none'``, ``'pytorch'`` or ``'slurm'``.
        local_rank: Of this process, if the environment does not set it.

    Raises:
        UserError: The config does not exist, or is not valid Python.
        UserError: An option does not fit the config, or nothing reads it.
        UserError: The config uses a toolbox that is not installed.
    """
    path = str(find_config(path))
    files = config_files(path)
    check_names(files)
    variables = {name: value for name, value in options.items() if name not in READ and _assigned(name, files)}
    cfg = read_with_variables(path, files, variables) if variables else Config.fromfile(path)
    for key, value in options.items():
        if key in variables:
            continue
        _check_is_read(cfg, key)
        try:
            cfg.merge_from_dict({key: value})
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise UserError(f'--cfg-options {key}={value} does not fit {path}: {error}') from error
    cfg.launcher = launcher
    cfg.work_dir = work_dir or cfg.get('work_dir') or f'work_dirs/{Path(path).stem}'
    os.environ.setdefault('LOCAL_RANK', str(local_rank))
    check_toolboxes(cfg)
    return cfg


def check_toolboxes(cfg: Config) -> None:
    """Find out before anything is built whether the toolboxes that a config names are installed.

    Raises:
        UserError: One is not; says how to install it.
    """
    scopes = {str(name).partition('.')[0] for name in _types(cfg.to_dict()) if '.' in str(name)}
    for scope in sorted(scopes | {cfg.get('default_scope')} & TOOLBOXES):
        if scope in TOOLBOXES and find_spec(scope) is None:
            raise UserError(
                f'{cfg.filename} needs {scope}, which is not installed: '
                f'pip install {DISTRIBUTIONS[scope]} (or pip install poa_mm[openmmlab] for all of OpenMMLab)'
            )


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
    from .engine.recovery import find_damage, newest_intact

    found = newest_intact(cfg.work_dir) if checkpoint == 'auto' else checkpoint
    if found is None:
        print_log(f'Nothing to resume in {cfg.work_dir}: training starts from the beginning')
        cfg.resume = False
        return
    if not Path(found).is_file():
        raise UserError(f'cannot resume: checkpoint {found!r} does not exist')
    if 'message_hub' not in load_weights(found):
        raise UserError(f'cannot resume: {found} holds weights alone; to start from them write load_from={found}')
    if checkpoint != 'auto' and (damage := find_damage(found)):
        raise UserError(f'cannot resume: {found} is damaged ({damage}); --resume alone takes the newest complete one')
    cfg.resume, cfg.load_from = True, str(found)


def prepare_processes(cfg: Config) -> None:
    """Start the process group over gloo where there is no GPU, which MMEngine's launcher cannot do.

    Raises:
        UserError: More processes than GPUs on this machine, or Slurm without GPUs.
    """
    if cfg.launcher == 'none':
        return
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
    default = dict(broadcast_buffers=False, find_unused_parameters=unused)
    cfg.model_wrapper_cfg = {**(cfg.get('model_wrapper_cfg') or default), 'device_ids': None}


def build_runner(cfg: Config) -> Runner:
    """Check a config and build its runner.

    Raises:
        UserError: A type does not exist, or a class does not take a key.
    """
    check_config(cfg)
    # Under keys, so that a config can change them or leave them out with None.
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    for key, kind in (('start_check', 'StartCheckHook'), ('interrupt', 'InterruptHook')):
        hooks.setdefault(key, dict(type=f'poa_mm.{kind}'))
    for key in [key for key, hook in hooks.items() if hook is None and key not in MMENGINE_HOOKS]:
        del hooks[key]  # MMEngine takes None for its own alone
    from .engine import ScreenRunner

    return RUNNERS.build(cfg) if 'runner_type' in cfg else ScreenRunner.from_cfg(cfg)


def open_data(runner: Runner, *loops: str) -> None:
    """Open the data sets and metrics of some loops (``'train'``, ``'val'``, ``'test'``), which are built only once.

    Raises:
        UserError: A file or folder does not exist.
    """
    try:
        for loop in loops:
            getattr(runner, f'{loop}_loop')
    except FileNotFoundError as error:
        raise UserError(f'data of {runner.cfg.filename}: {error}') from error


def _leave_processes() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def check_names(files: list[ConfigFile]) -> None:
    """Refuse a misspelt section: a name that nothing reads, neither a runner nor another line of the config.

    Raises:
        UserError: A file assigns such a name, and a section has a similar one.
    """
    used = set().union(*(file.used_names() for file in files))
    for file in files:
        for name in file.assigned.keys() - READ - used - {'_base_'}:
            if near := difflib.get_close_matches(name, READ, n=3, cutoff=0.75):
                raise UserError(f'{file.path}: nothing reads {name!r}; near are {", ".join(near)}')


def _assigned(name: str, files: list[ConfigFile]) -> bool:
    return any(name in file.assigned for file in files)


def _check_is_read(cfg: Config, key: str) -> None:
    """Refuse a key that nothing would read: a misspelt one, or a part of a variable."""
    name = key.partition('.')[0]
    if name in READ:
        return
    if name in cfg:
        raise UserError(
            f'--cfg-options {key} has no effect: {name} is a variable of {cfg.filename}. Set the whole variable, '
            'or the keys that use it, as train_dataloader.batch_size'
        )
    near = difflib.get_close_matches(name, [*READ, *cfg], n=3)
    raise UserError(
        f'--cfg-options {key}: {cfg.filename} has no {name!r}' + (f'; near are {", ".join(near)}' if near else '')
    )


def _types(node: Any) -> Iterator[Any]:
    """All values of keys named ``type``."""
    children = node.values() if isinstance(node, dict) else node
    if isinstance(node, dict) and 'type' in node:
        yield node['type']
    if isinstance(node, (dict, list, tuple)):
        for child in children:
            yield from _types(child)

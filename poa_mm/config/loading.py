"""Reads a config and applies the command line to it."""

import difflib
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from poa_mm.compat import DISTRIBUTIONS
from poa_mm.errors import UserError

from .config_check import check_sections
from .recipes import find_config
from .variables import ConfigFile, config_files, evaluate, read_with_variables

TOOLBOXES = {'mmpretrain', 'mmdet', 'mmseg'}

# Sections that MMEngine's runner or this package reads; every other name is a variable of the config itself.
READ = {
    *signature(Runner).parameters,
    *('activation_checkpointing', 'compile', 'custom_imports', 'efficient_conv_bn_eval', 'find_unused_parameters'),
    *('model_wrapper_cfg', 'runner_type', 'strategy', 'tta_model', 'tta_pipeline'),
    *('knn', 'linear', 'cluster', 'robustness', 'backgrounds'),
}
# Variables that Config.dump keeps although nothing refers to them any more; their names are near sections'.
KEPT = {'train_pipeline', 'test_pipeline'}


def load_config(path: str, options: dict[str, Any], work_dir: str | None, launcher: str) -> Config:
    """Read a config and apply the command line to it.

    A key that is a variable of the config (``steps``, ``data_root``) is replaced where it is assigned, also in bases,
    and everything that depends on it follows; all other keys are merged into the evaluated config.

    Args:
        path: The config file, or the name of one of ours (:func:`find_config`).
        options: Keys and their values, as ``--cfg-options`` gives them (:class:`poa_mm.arguments.KeyValues`).
        work_dir: Overrides the config's own; default: ``work_dirs/<name of the config>``.
        launcher: ``'none'``, ``'pytorch'`` or ``'slurm'``.

    Raises:
        UserError: The config does not exist, or is not valid Python.
        UserError: An option does not fit the config, or nothing reads it.
        UserError: A section is not a dict (:func:`check_sections`).
        UserError: The config uses a toolbox that is not installed.
    """
    path = str(find_config(path))
    files = config_files(path)
    check_names(files)
    variables = {name: value for name, value in options.items() if name not in READ and _assigned(name, files)}
    _check_are_used(variables, files)
    texts = getattr(options, 'texts', {})
    cfg = read_with_variables(path, files, variables, texts) if variables else evaluate(path)
    if work_dir and 'work_dir' in options:
        raise UserError('--cfg-options takes no second work_dir: give --work-dir')
    merge_options(cfg, {key: value for key, value in options.items() if key not in variables})
    cfg.launcher = launcher
    cfg.work_dir = work_dir or cfg.get('work_dir') or f'work_dirs/{Path(path).stem}'
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name) or {}
        if loader.get('num_workers') == 0:  # PyTorch refuses what concerns workers where there are none
            loader.pop('persistent_workers', None)
            loader.pop('prefetch_factor', None)
    check_toolboxes(cfg)
    return cfg


def merge_options(cfg: Config, options: dict[str, Any]) -> None:
    """Merge options into an evaluated config, which may be empty.

    Raises:
        UserError: One does not fit the config, or nothing reads it.
        UserError: A section is not a dict (:func:`check_sections`).
    """
    if 'launcher' in options:
        raise UserError('--cfg-options takes no launcher: give --launcher')
    for key, value in options.items():
        _check_is_read(cfg, key)
        try:
            cfg.merge_from_dict({key: value})
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            where = cfg.filename or 'the config'
            raise UserError(f'--cfg-options {key}={value} does not fit {where}: {error}') from error
    check_sections(cfg)


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


def check_names(files: list[ConfigFile]) -> None:
    """Refuse a misspelt section: a name that nothing reads, neither a runner nor another line of the config.

    Raises:
        UserError: A file assigns such a name, and a section has a similar one.
    """
    used = set().union(*(file.used_names() for file in files))
    for file in files:
        for name in file.assigned.keys() - READ - KEPT - used - {'_base_'}:
            if near := difflib.get_close_matches(name, READ, n=3, cutoff=0.75):
                raise UserError(f'{file.path}: nothing reads {name!r}; near are {", ".join(near)}')


def _assigned(name: str, files: list[ConfigFile]) -> bool:
    return any(name in file.assigned for file in files)


def _check_are_used(variables: Iterable[str], files: list[ConfigFile]) -> None:
    """Refuse a variable that no line reads, as in the config that a training has written."""
    used = set().union(*(file.used_names() for file in files))
    for name in variables:
        if name not in used:
            raise UserError(f'--cfg-options {name} has no effect: no line of {files[0].path} reads this variable')


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
        f'--cfg-options {key}: {cfg.filename or "the config"} has no {name!r}'
        + (f'; near are {", ".join(near)}' if near else '')
    )


def _types(node: Any) -> Iterator[Any]:
    """All values of keys named ``type``."""
    children = node.values() if isinstance(node, dict) else node
    if isinstance(node, dict) and 'type' in node:
        yield node['type']
    if isinstance(node, (dict, list, tuple)):
        for child in children:
            yield from _types(child)

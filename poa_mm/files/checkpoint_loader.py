"""The one reader of checkpoints, also of MMEngine's: ``--resume``, ``load_from``, ``init_cfg`` and ``tools/test.py``.

MMEngine tries ``torch.load(weights_only=True)`` and, where that refuses, loads the file with ``weights_only=False``,
which executes what it holds. :func:`install` puts :func:`load_checkpoint` in its place for files and downloads.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import torch

from poa_mm.errors import UserError
from poa_mm.files import load_weights
from poa_mm.files.unpickling import UnreadableError, settled

# What training, resuming or testing reads of a checkpoint; other parts may hold anything and are left out.
PARTS = ('state_dict', 'ema_state_dict', 'meta', 'message_hub', 'optimizer', 'param_schedulers')


def load_checkpoint(filename: str | Path, map_location: Any = 'cpu') -> dict:
    """Load a checkpoint completely, without executing anything in it.

    Args:
        filename: A file written by ``torch.save``.
        map_location: As of ``torch.load``; ``None`` is the CPU.

    Returns:
        Its contents. Tensors are in memory: the file may be deleted.

    Raises:
        UserError: If the file does not exist, is damaged or not a checkpoint.
        UserError: If its weights, its state of the training or its ``meta`` hold objects other than tensors, numbers,
            text and plain containers; names the first.
    """
    filename = os.path.expanduser(str(filename))
    contents = load_weights(filename, map_location or 'cpu')
    left_out = []
    for key in list(contents):
        try:
            contents[key] = settled(contents[key], str(key))
        except UnreadableError as error:
            if key in PARTS:
                raise UserError(f'{filename} is not read, because its part {error}, which is not plain data') from None
            del contents[key]
            left_out.append(str(error))
        except RecursionError:
            raise UserError(f'{filename} is not a checkpoint: its part {key} is nested too deeply') from None
    if isinstance(meta := contents.get('meta'), dict) and isinstance(meta.get('config'), str):
        raise UserError(f'{filename} is not read, because resuming would execute the Python text in its meta.config')
    if left_out:
        _log(f'{filename}: left out are parts that are not plain data: {"; ".join(left_out)}')
    # A mapped tensor would keep the file's disk space, and fail if the file were changed in place.
    return copy.deepcopy(contents)


def load_from_http(
    filename: str, map_location: Any = None, model_dir: str | None = None, progress: bool = True
) -> dict:
    """Download a checkpoint once, into PyTorch's cache, and load it.

    Args:
        filename: An ``http://`` or ``https://`` address.
        map_location: As of ``torch.load``.
        model_dir: Folder of downloads; ``$TORCH_HOME/hub/checkpoints`` if ``None``.
        progress: Whether to show a progress bar.

    Returns:
        What :func:`load_checkpoint` returns.

    Raises:
        UserError: As :func:`load_checkpoint`, or if it cannot be downloaded.
    """
    from mmengine.dist import barrier, is_main_process

    folder = Path(model_dir or Path(torch.hub.get_dir(), 'checkpoints'))
    path = folder / Path(urlparse(filename).path).name
    if is_main_process() and not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(filename, str(path), progress=progress)
        except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
            raise UserError(f'{filename} cannot be downloaded: {error}') from error
    barrier()
    return load_checkpoint(path, map_location)


def _refused(scheme: str) -> Callable:
    def load_from_elsewhere(filename: str, map_location: Any = None) -> dict:
        raise UserError(f'{filename}: checkpoints of {scheme} are not read; download the file and give its path')

    return load_from_elsewhere


def install(module: ModuleType) -> None:
    """Make ``mmengine.runner.checkpoint`` read every file with :func:`load_checkpoint`.

    Args:
        module: ``mmengine.runner.checkpoint``.
    """

    def load_from_local(filename: str, map_location: Any = None) -> dict:
        return load_checkpoint(filename, map_location)

    register = module.CheckpointLoader.register_scheme
    # Its readers of torchvision:// and open-mmlab:// look these two names up in their module.
    module.load_from_local, module.load_from_http = load_from_local, load_from_http
    if hasattr(module, '_safe_torch_load'):
        module._safe_torch_load = lambda file, map_location=None, weights_only=None: load_from_local(file, map_location)
    register('', load_from_local, force=True)
    register(['http://', 'https://'], load_from_http, force=True)
    register('pavi://', _refused('pavi'), force=True)
    register([r'(\S+\:)?s3://', r'(\S+\:)?petrel://'], _refused('S3'), force=True)


def _log(message: str) -> None:
    from mmengine.logging import print_log

    print_log(message, logger='current', level=logging.WARNING)

"""Functions and commands in several processes at once, as under torchrun.

The processes are forked from one that has imported the package: importing takes longer than most of what they do.
"""

import contextlib
import gc
import io
import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

# Nothing of tests: the server starts where the first test is, in which an installed package of that name may be found.
multiprocessing.set_forkserver_preload(['poa_mm.engine', 'poa_mm.datasets', 'poa_mm.evaluation'])
LIMIT = 400  # seconds, for a group that waits for itself


def in_processes(number: int, function: Callable, *args: Any) -> list:
    """The results of ``function(*args)`` in each process of a gloo group.

    The function and its arguments are pickled, so the function must be one of a module.

    Raises:
        ProcessRaisedException: With the traceback of the process that failed first; the others are stopped.
        TimeoutError: If they take more than :data:`LIMIT`; they are killed.
    """
    return _start(number, _in_group, function, *args)


def command_in_processes(number: int, folder: Path, *arguments: Any) -> list[str]:
    """What each process prints of ``poa ARGUMENTS --launcher pytorch``."""
    return _start(number, _command, str(folder), *map(str, arguments))


def _start(number: int, function: Callable, *args: Any) -> list:
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        port = server.getsockname()[1]
    with tempfile.TemporaryDirectory() as results:
        process_args = (number, port, results, function, args)
        context = multiprocessing.start_processes(_enter, process_args, number, join=False, start_method='forkserver')
        end = time.monotonic() + LIMIT
        while not context.join(max(0.0, end - time.monotonic())):
            if time.monotonic() > end:
                for process in context.processes:
                    process.kill()
                raise TimeoutError(f'{number} processes took more than {LIMIT} s')
        return [torch.load(f'{results}/{rank}.pt', weights_only=False) for rank in range(number)]


def _enter(rank: int, number: int, port: int, results: str, function: Callable, args: tuple) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(number))
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), CUDA_VISIBLE_DEVICES='-1')
    torch.set_num_threads(1)
    torch.save(function(*args), f'{results}/{rank}.pt')


def _in_group(function: Callable, *args: Any) -> Any:
    dist.init_process_group('gloo')
    result = function(*args)
    # Models hold threads of the group; with them left, a process was seen to abort at its exit.
    gc.collect()
    dist.barrier()
    dist.destroy_process_group()
    return result


def _command(folder: str, *arguments: str) -> str:
    from poa_mm.commands import main

    os.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main([*arguments, '--launcher', 'pytorch'])
    return printed.getvalue()

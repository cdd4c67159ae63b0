"""TensorBoard and Weights & Biases beside MMEngine's own files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config

from poa_mm.errors import UserError

BACKENDS = {'tensorboard': 'TensorboardVisBackend', 'wandb': 'WandbVisBackend'}  # the package, and MMEngine's class


def add_backends(cfg: Config, names: Sequence[str]) -> None:
    """Let a run write its curves and pictures to these as well.

    Args:
        cfg: Changed in place; must have its ``work_dir``.
        names: Keys of :data:`BACKENDS`.

    Raises:
        UserError: If a name is unknown, or its package is not installed.
    """
    for name in names:
        if name not in BACKENDS:
            raise UserError(f'--vis must be one of {", ".join(BACKENDS)}, got {name!r}')
        if find_spec(name) is None:
            raise UserError(f'{name} is not installed: pip install {name}')
        backend = dict(type=BACKENDS[name])
        if name == 'wandb':
            backend['init_kwargs'] = dict(project='poa_mm', name=Path(cfg.work_dir).name)
        visualizer = cfg.setdefault('visualizer', dict(type='Visualizer'))
        present = visualizer.get('vis_backends') or []
        visualizer['vis_backends'] = [b for b in present if b['type'] != backend['type']] + [backend]

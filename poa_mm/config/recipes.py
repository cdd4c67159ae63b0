"""Finds the configs that belong to this package, from a checkout or installed."""

from __future__ import annotations

from pathlib import Path

from poa_mm.errors import UserError, not_found

PACKAGE = Path(__file__).parents[1]


def config_folder() -> Path:
    """The folder ``configs``: of an installed wheel (OpenMMLab's ``.mim``), else of the checkout."""
    installed = PACKAGE / '.mim/configs'
    return installed if installed.is_dir() else PACKAGE.parent / 'configs'


def is_config(name: str | Path) -> bool:
    """Whether an argument is a config: ``FILE.py``, or the name of one of ours that no file or folder has."""
    return Path(name).suffix == '.py' or (not Path(name).exists() and _own(name) is not None)


def find_config(name: str | Path) -> Path:
    """The file of a config.

    Args:
        name: A path, or the name of one of our configs: ``poa_vitl``, ``poa_mm::poa_vitl.py``, ``eval/finetune_vits``.

    Raises:
        UserError: If the file does not exist.
    """
    path = Path(name)
    if path.is_file():
        return path
    if own := _own(name):
        return own
    if path.suffix == '.py' and '::' not in str(name):
        raise UserError(f'config {not_found(name)}')
    names = ', '.join(sorted(file.stem for file in config_folder().glob('*.py')))
    raise UserError(f'config {not_found(name)}: give a file, or the name of one of our recipes ({names})')


def run_config(work_dir: str | Path) -> Path:
    """The config that a training has written into its work dir.

    Raises:
        UserError: If the folder holds none, or several.
    """
    found = sorted(Path(work_dir).glob('*.py'))
    if len(found) != 1:
        raise UserError(f'{work_dir} must hold the config of one run, got {len(found)} files *.py')
    return found[0]


def _own(name: str | Path) -> Path | None:
    path = config_folder() / str(name).removeprefix('poa_mm::')
    return path.with_suffix('.py') if path.suffix in ('', '.py') and path.with_suffix('.py').is_file() else None

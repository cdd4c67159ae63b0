"""Importing libraries without their remarks on what is not installed and not needed here."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

# Packages that remark on missing compiled operators, missing data formats (OneDL), other versions, or a missing CUDA.
# What they import while they are imported is silent too.
TALKATIVE = {
    'torch.utils.cpp_extension',
    'mmcv.ops',
    *(
        f'{toolbox}.{part}'
        for toolbox in ('mmpretrain', 'mmdet', 'mmseg')
        for part in ('models', 'datasets', 'apis', 'evaluation')
    ),
}


class QuietFinder(MetaPathFinder):
    """Silences the packages of :data:`TALKATIVE` while Python executes them; errors are raised as ever."""

    @classmethod
    def install(cls) -> None:
        """Become the first of Python's finders; a second call does nothing."""
        if not any(isinstance(finder, cls) for finder in sys.meta_path):
            sys.meta_path.insert(0, cls())

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None):
        """Called by Python for every module that is imported."""
        if fullname not in TALKATIVE:
            return None
        spec: ModuleSpec | None = PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                with silence():
                    execute(module)

            spec.loader.exec_module = exec_module
        return spec


@contextmanager
def silence() -> Iterator[None]:
    """No warnings, no log messages below an error, and nothing that MMEngine's ``print_log`` prints inside."""
    # Not imported: every import of poa_mm comes by here, and poa_mm.elastic needs no MMEngine.
    mmengine = sys.modules.get('mmengine.logging.logger')
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    if mmengine:
        printing = vars(mmengine).get('print', print)
        mmengine.print = lambda *args: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(disabled)
        if mmengine:
            mmengine.print = printing
            # MMEngine's loggers are not in Python's list of loggers, so nobody else lets them speak again.
            for logger in mmengine.MMLogger._instance_dict.values():
                logger._cache.clear()

"""Importing a toolbox without its remarks on compiled operators that are not used here."""

import logging
import warnings
from importlib import import_module
from types import ModuleType


def quiet_import(name: str) -> ModuleType:
    """Import a module while warnings are silent.

    Without compiled operators mmcv, mmdet and mmpretrain each warn about networks that need them. Errors are raised
    as ever.
    """
    # Not above: every import of poa_mm comes by here, and poa_mm.elastic needs no MMEngine.
    from mmengine.logging import MMLogger

    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return import_module(name)
    finally:
        logging.disable(previous)
        # MMEngine's loggers are not Python's list of loggers, so nobody else tells them that they may speak again.
        for logger in MMLogger._instance_dict.values():
            logger._cache.clear()

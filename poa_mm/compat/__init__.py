"""Differences between installations: nothing else in the package knows of them."""

from .mmcv_ops import OperatorFinder
from .quiet import quiet_import

__all__ = ['OperatorFinder', 'quiet_import']

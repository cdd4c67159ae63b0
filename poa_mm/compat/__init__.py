"""Differences between installations: nothing else in the package knows of them."""

from .quiet import quiet_import

__all__ = ['quiet_import']

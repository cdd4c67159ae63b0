"""Training that starts from the files of other networks, and so stands above their reading."""

from .seed import SEED

__all__ = ['SEED']

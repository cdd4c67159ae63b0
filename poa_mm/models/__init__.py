# ruff: noqa: E402
from poa_mm.compat import quiet_import

quiet_import('mmpretrain.models')  # before the modules below import it with all its remarks

from .backbones import *  # noqa: F403
from .data_preprocessor import MultiCropPreprocessor
from .heads import *  # noqa: F403
from .losses import *  # noqa: F403
from .necks import *  # noqa: F403
from .poa import POA
from .teacher import Teacher

__all__ = ['POA', 'MultiCropPreprocessor', 'Teacher']

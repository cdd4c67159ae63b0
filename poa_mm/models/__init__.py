from .backbones import *  # noqa: F403
from .data_preprocessor import MultiCropPreprocessor
from .heads import *  # noqa: F403
from .losses import *  # noqa: F403
from .necks import *  # noqa: F403
from .poa import POA
from .recovery import Recovery
from .seed import SEED
from .teacher import Teacher

__all__ = ['POA', 'SEED', 'MultiCropPreprocessor', 'Recovery', 'Teacher']

"""POA: Pre-training Once for Models of All Sizes, for OpenMMLab."""

from .compat import OperatorFinder

__version__ = '0.1.0'

# mmdet cannot be imported without mmcv's operators; a config imports poa_mm before it.
OperatorFinder.install()

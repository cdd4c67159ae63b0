"""POA: Pre-training Once for Models of All Sizes, for OpenMMLab."""

__version__ = '0.1.0'

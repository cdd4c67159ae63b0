"""The former name of :mod:`knn_protocol`, which the hook still imports."""

from .knn_protocol import KNN_DEFAULTS

__all__ = ['KNN_DEFAULTS']

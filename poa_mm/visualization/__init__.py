"""Pictures of results."""

from .knn_pictures import plot_heat_map, plot_size_curve

__all__ = ['plot_heat_map', 'plot_size_curve']

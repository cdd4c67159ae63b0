"""Pictures of results."""

from .knn_pictures import STYLES, plot_heat_map, plot_size_curve

__all__ = ['STYLES', 'plot_heat_map', 'plot_size_curve']

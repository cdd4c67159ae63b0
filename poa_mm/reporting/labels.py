"""Labels of points that do not cover each other."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

# Where a label may be, in points from its own: above, below, right, left.
PLACES = (
    ((0, 5), dict(ha='center', va='bottom')),
    ((0, -5), dict(ha='center', va='top')),
    ((6, 0), dict(ha='left', va='center')),
    ((-6, 0), dict(ha='right', va='center')),
)


def label_points(axes: Axes, points: Sequence[tuple[float, float, str]], fontsize: float = 7) -> None:
    """Write the names of points beside them, the first ones first; one that finds no free place stays without.

    Call it last: a place is free if it is inside the axes and no dot of a scatter plot or earlier label is there.

    Args:
        axes: With their final limits.
        points: x, y and name.
        fontsize: In points.
    """
    figure = axes.figure
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # the layout is known only now
    renderer, radius = canvas.get_renderer(), figure.dpi / 72 * 3
    dots = [offset for c in axes.collections if isinstance(c, PathCollection) for offset in c.get_offsets()]
    centres = axes.transData.transform(dots)
    taken = [Bbox.from_extents(x - radius, y - radius, x + radius, y + radius) for x, y in centres]
    inside = axes.get_window_extent(renderer)
    for x, y, name in points:
        for offset, alignment in PLACES:
            text = axes.annotate(
                name, (x, y), offset, textcoords='offset points', fontsize=fontsize, zorder=5, **alignment
            )
            text.set_in_layout(False)
            text.set_path_effects([withStroke(linewidth=1.5, foreground='white')])
            box = text.get_window_extent(renderer).padded(1)
            if box.count_overlaps(taken) == 0 and inside.containsx(box.x0) and inside.containsx(box.x1):
                taken.append(box)
                break
            text.remove()

"""Colours of pictures, and the way they are written."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from poa_mm.files import write_atomically

# They differ for colour-blind readers and in print.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the format of the suffix (PNG without one); needs no display."""
    FigureCanvasAgg(figure)
    kind = Path(path).suffix.lstrip('.') or 'png'
    return write_atomically(path, lambda file: figure.savefig(file, format=kind))

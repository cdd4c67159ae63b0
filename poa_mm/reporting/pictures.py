"""Writes figures."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from poa_mm.files import write_atomically


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the format of the suffix, without a display."""
    FigureCanvasAgg(figure)
    return write_atomically(path, lambda file: figure.savefig(file, format=Path(path).suffix[1:]))

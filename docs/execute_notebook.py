"""Executes quickstart.ipynb and stores its outputs, which the site shows: ``python docs/execute_notebook.py``."""

from __future__ import annotations

import base64
import io
import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOK = Path(__file__).with_name('quickstart.ipynb')
COLOURS = 128  # of a stored picture
TIME_AND_LOGGER = re.compile(r'^\d\d/\d\d \d\d:\d\d:\d\d - mmengine - ', re.MULTILINE)
TERMINAL_COLOURS = re.compile(r'\x1b\[[\d;]*m')


def main() -> None:
    notebook = nbformat.read(NOTEBOOK, 4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=3600, resources={'metadata': {'path': folder}}).execute()
        tidy(notebook, folder)
    nbformat.write(notebook, NOTEBOOK)


def tidy(notebook: nbformat.NotebookNode, folder: str) -> None:
    """Keep what a reader needs: no progress bars, times, terminal colours or folders; small pictures."""
    notebook.metadata = dict(
        kernelspec=dict(display_name='Python 3', language='python', name='python3'), language_info=dict(name='python')
    )
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type != 'code':
            continue
        text = ''.join(o.text for o in cell.outputs if o.output_type == 'stream' and o.name == 'stdout')
        text = TIME_AND_LOGGER.sub('', TERMINAL_COLOURS.sub('', text)).replace(f'{folder}/', '')
        streams = [nbformat.v4.new_output('stream', name='stdout', text=text)] if text else []
        shown = [output for output in cell.outputs if output.output_type == 'execute_result']
        for output in shown:
            output.metadata = {}
            output.data = {'text/plain': 'a picture', 'image/png': smaller(output.data['image/png'])}
        cell.outputs = streams + shown


def smaller(picture: str) -> str:
    """A PNG in base64 with few colours."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert('RGB').quantize(COLOURS)
    file = io.BytesIO()
    image.save(file, format='PNG', optimize=True)
    return base64.b64encode(file.getvalue()).decode()


if __name__ == '__main__':
    main()

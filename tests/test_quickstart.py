"""The notebook runs from its first cell to its last, shortened."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / 'docs/quickstart.ipynb'


def test_all_cells_run(tmp_path):
    cells = json.loads(NOTEBOOK.read_text())['cells']
    code = '\n\n'.join(''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code')
    shortened = code.replace('steps, batch = 100, 64', 'steps, batch = 12, 4').replace(", '--untrained'", '')
    assert shortened != code
    (tmp_path / 'quickstart.py').write_text(shortened)
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1', MPLBACKEND='Agg')
    done = subprocess.run(
        [sys.executable, 'quickstart.py'], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ' is most like ' in done.stdout.splitlines()[-1]
    folder = tmp_path / 'work_dirs/quickstart'
    for name in ('curves.png', 'pictures/index.html', 'subnets/96x3.pth'):
        assert (folder / name).is_file()


def test_outputs_of_all_cells_are_committed():
    """The site shows them; ``docs/execute_notebook.py`` makes them anew."""
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())['cells'] if cell['cell_type'] == 'code']
    assert [cell['execution_count'] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell['outputs']]
    assert {output['output_type'] for output in outputs} == {'stream', 'execute_result'}  # no error
    assert sum('image/png' in output.get('data', {}) for output in outputs) == 3

"""The studies of the checkout: every option fits its recipe, every command is understood."""

from pathlib import Path

import pytest

from poa_mm.commands.main import build_parser
from poa_mm.study.definition import Study
from poa_mm.study.queue import Queue

STUDIES = sorted((Path(__file__).parents[2] / 'studies').glob('*.yaml'))


@pytest.mark.parametrize('path', STUDIES, ids=lambda path: path.stem)
def test_study(path, tmp_path):
    study = Study.read(path)
    data = dict(train='train', val='val', images='images')
    queue, parser = Queue(study, tmp_path, tmp_path, data), build_parser()
    for run in study.runs:
        for program, *words in queue.commands(run, 0):
            assert program != 'poa' or parser.parse_args(words)
        if run.recipe and not run.command:
            queue.config(run)
    assert study.compare

"""docs/reproduce.md has every table and figure of the paper, and its commands are those that other tests run."""

import re
import shlex
from pathlib import Path

import pytest

from poa_mm.commands.main import build_parser
from poa_mm.config import load_config
from poa_mm.reporting.paper_report import paper_figures
from tests import test_ade20k_configs, test_coco_configs, test_configs, test_eval_configs
from tests.test_models import test_seed

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / 'docs' / 'reproduce.md').read_text()
TABLES = range(1, 21)
FIGURES = (5, 7, 8, 9, 10, 11)
# Configs that a test takes a step with, on small data in the layout that they expect.
TRAINED = {
    *(str(path.relative_to(ROOT)) for path in test_configs.PRETRAINING),
    *(f'configs/{name}.py' for name in test_seed.SEED_CONFIGS),
    *(f'configs/eval/{name}.py' for name in test_eval_configs.ALL),
    *(f'configs/coco/{name}.py' for name in test_coco_configs.ALL),
    *(f'configs/ade20k/{name}.py' for name in test_ade20k_configs.ALL),
}


def commands():
    """Words of every command of the page, as ``poa`` takes them."""
    for block in re.findall(r'^```bash\n(.*?)^```', PAGE, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            match shlex.split(line, comments=True):
                case ['poa', *words]:
                    yield words
                case ['tools/dist_train.sh', config, '8', *words]:
                    yield ['train', config, *words, '--launcher', 'pytorch']
                case ['tools/dist_run.sh', '8', tool, *words]:
                    yield [Path(tool).stem, *words]
                case words:
                    raise AssertionError(f'unknown command {words}')


COMMANDS = list(commands())


def test_every_table_and_figure_has_a_row():
    rows = [line.split('|')[1] for line in PAGE.splitlines() if re.match(r'\| (table|figure) \d', line)]
    named = {
        (kind, int(n)) for row in rows for kind in re.findall('table|figure', row) for n in re.findall(r'\d+', row)
    }
    assert named == {*(('table', n) for n in TABLES), *(('figure', n) for n in FIGURES)}
    headings = {re.sub(r' ', '-', title.lower()) for title in re.findall(r'^## (.+)$', PAGE, re.MULTILINE)}
    assert set(re.findall(r'\]\(#([^)]+)\)', PAGE)) <= headings


def test_every_recipe_of_the_paper_has_a_command():
    trained = {Path(words[1]).stem for words in COMMANDS if words[0] == 'train'}
    assert {figure.recipe for figure in paper_figures()} <= trained


@pytest.mark.parametrize('words', COMMANDS, ids=lambda words: ' '.join(words[:3]))
def test_command(words, tmp_path, monkeypatch):
    """The parser takes it, its configs load with its options, and a test takes a step with what it trains."""
    monkeypatch.chdir(ROOT)
    here = [
        str(tmp_path / word) if before in ('--out', '--picture') else word for before, word in zip(['', *words], words)
    ]
    args = vars(build_parser().parse_args(here))
    configs = [args.get('config'), *(file for file in args.get('files') or [] if file.endswith('.py'))]
    for config in filter(None, configs):
        load_config(config, args.get('cfg_options') or {}, None, 'none')
    if words[0] == 'train':
        assert words[1] in TRAINED
    folders = re.findall(r'data/[a-z_]+(?:/train|/val)?', ' '.join(words))
    assert set(folders) <= {'data/imagenet/train', 'data/imagenet/val', 'data/bg_challenge'}

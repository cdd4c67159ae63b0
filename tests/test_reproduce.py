"""docs/reproduce.md has every table and figure of the paper, and its commands are those that other tests run."""

import re
from pathlib import Path

import pytest
import torch

from poa_mm.commands.main import build_parser
from poa_mm.config import load_config
from poa_mm.extraction import build_backbone
from poa_mm.reporting.paper import paper_tables
from poa_mm.reporting.paper_report import paper_figures
from tests import test_ade20k_configs, test_coco_configs, test_configs, test_docs_commands, test_eval_configs
from tests.helpers import program_values
from tests.test_models import test_seed

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / 'docs' / 'reproduce.md'
PAGE = FILE.read_text()
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
    for line in test_docs_commands.commands(FILE):
        match line:
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


def test_every_training_of_a_downstream_table_is_tested():
    downstream = ('eval', 'coco', 'ade20k')
    trained, tested = (
        {words[1] for words in COMMANDS if words[0] == command and Path(words[1]).parent.name in downstream}
        for command in ('train', 'test')
    )
    assert trained == tested and len(trained) == 30


def test_table_15_is_measured_whole():
    table = paper_tables()['knn_resnet']
    wanted = {
        f'{width}x3-{depths.removesuffix("b")}-3'
        for width in table['rows_width']
        for depths in table['columns_stage2_stage3']
    }
    (words,) = (words for words in COMMANDS if 'results/knn_all_resnet.json' in words)
    given = words[words.index('--subnets') + 1 : words.index('--train')]
    assert set(given) == wanted and len(given) == 45
    with torch.device('meta'):
        space = build_backbone(load_config('configs/poa_resnet152.py', {}, None, 'none')).space
    assert all(space.parse(subnet) in space for subnet in given)


def test_grids_of_figure_5():
    (words,) = (words for words in COMMANDS if words[0] == 'robustness')
    assert words[words.index('--grids') + 1 :][:7] == program_values.FIGURE5_GRIDS.split()


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

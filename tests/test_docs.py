"""What the pages say of files and commands is true."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]


def words(pattern, paths):
    return sorted({found for path in paths for found in re.findall(pattern, path.read_text())})


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = [link for link in words(r'\]\(([^)#]+)', [page]) if '://' not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_configs_and_tools_exist(page):
    named = words(r'\b((?:configs|tools|tests)/[a-z\d_/]+\.(?:py|sh))\b', [page])
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_last_checkpoints_of_the_recipes():
    """Checkpoints are named by optimizer steps."""
    named = words(r'(poa_[a-z\d_]+)/iter_(\d+)\.pth', [*PAGES, *(ROOT / 'configs').rglob('*.py')])
    last = {name: Config.fromfile(ROOT / 'configs' / f'{name}.py').train_cfg.max_iters for name, _ in named}
    assert named == [(name, str(last[name])) for name, _ in named] and 'poa_vitl' in last

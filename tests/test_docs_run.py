"""The script that runs the commands of the pages: it knows all of them, and here it runs those of one page."""

import pytest

import poa_mm.config
from poa_mm.config import loading, recipes
from poa_mm.models.backbones.resnet import ElasticResNet
from poa_mm.models.backbones.swin import ElasticSwinTransformer
from poa_mm.models.backbones.vit import ElasticVisionTransformer
from tests.docs_run.__main__ import run_pages
from tests.docs_run.rewriting import call_of, page_commands, reason_not_to_run


def test_all_commands_are_known():
    calls = [call_of(words) for _, words in page_commands() if not reason_not_to_run(words)]
    assert len(calls) > 200 and all(map(callable, calls))


@pytest.fixture
def restored(monkeypatch):
    """The script changes its process for good."""
    for owner, name in (
        *((module, 'load_config') for module in (poa_mm.config, loading)),
        (recipes, 'config_folder'),
        *((family, 'names') for family in (ElasticVisionTransformer, ElasticSwinTransformer, ElasticResNet)),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    for name in ('CUDA_VISIBLE_DEVICES', 'MPLBACKEND', 'WANDB_MODE'):
        monkeypatch.setenv(name, '')


def test_the_commands_of_a_page_run(tmp_path, restored, capsys):
    assert run_pages(tmp_path, ['start.md'], 'poa (train|extract|knn|report)') == []
    assert '4 of 4 commands ran' in capsys.readouterr().out
    assert (tmp_path / 'work_dirs/demo/knn.md').is_file()
    (tmp_path / 'work_dirs/demo/iter_300.pth').unlink()
    (failed,) = run_pages(tmp_path, ['start.md'], 'poa extract')
    assert failed.startswith('poa extract work_dirs/demo/iter_300.pth') and 'FAILED' in capsys.readouterr().out

"""Fine-tuned classifiers: how files of one name are told apart, and what a file may name."""

from pathlib import Path

import pytest
from mmengine.config import Config

from poa_mm.config import load_config
from poa_mm.errors import UserError
from poa_mm.evaluation.classifiers import is_part, open_classifiers, without_init
from poa_mm.evaluation.comparison import EvalOptions
from poa_mm.registry import MODELS, check_types
from tests.helpers.classifiers import classifier_config, save_classifier
from tests.helpers.protocols import save_images

CONFIGS = sorted((Path(__file__).parents[2] / 'configs' / 'eval').glob('*.py'))


def test_files_of_one_name_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_images(tmp_path / 'val', 2)
    files = [f'{run}/vits/best.pth' for run in 'ab']
    for file in files:
        Path(file).parent.mkdir(parents=True)
        save_classifier(file, classifier_config())
    options = dict(options=dict(val='val'))
    networks = open_classifiers(EvalOptions(Config(), files, **options), 'robustness', {}).candidates
    assert len({network.key for network in networks}) == 2
    assert [network.record()['file'] for network in networks] == files
    with pytest.raises(UserError, match='a file is given twice'):
        open_classifiers(EvalOptions(Config(), files[:1] * 2, **options), 'robustness', {})


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_file_may_name_what_our_recipes_name(path):
    cfg = load_config(str(path), {}, None, 'none')
    check_types({**without_init(cfg.model.to_dict()), 'data_preprocessor': None, 'train_cfg': None}, 'file', is_part)


@pytest.mark.parametrize('name', ['ResNet', 'ConvNeXt', 'MobileNetV3', 'EfficientNet', 'BEiTViT', 'HorNet'])
def test_a_file_may_name_other_backbones(name):
    check_types(dict(type=f'mmpretrain.{name}'), 'file', is_part)


@pytest.mark.parametrize('name', ['TIMMBackbone', 'HuggingFaceClassifier', 'TimmClassifier', 'AutoModelForCausalLM'])
def test_a_file_may_not_name_what_downloads(name):
    assert MODELS.get(f'mmpretrain.{name}')
    with pytest.raises(UserError, match='a file may not name'):
        check_types(dict(type=f'mmpretrain.{name}'), 'file', is_part)

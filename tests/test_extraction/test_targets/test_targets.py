"""safetensors, model cards, options and the hub."""

import json
import re

import pytest
import torch
from huggingface_hub import metadata_load
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
from mmpretrain.models import ImageClassifier
from safetensors import safe_open
from safetensors.torch import load_file

from poa_mm.errors import UserError
from poa_mm.extraction import ExtractedNetwork, open_network
from poa_mm.extraction.export import extract_network
from poa_mm.extraction.targets import TARGETS, Options, check_target, write_target
from poa_mm.extraction.targets.hub import push_folder
from tests.helpers.cells import CELLS, SIDE

FITS = {'vit': list(TARGETS), 'swin': list(TARGETS), 'resnet': [name for name in TARGETS if name != 'transformers']}


@pytest.mark.parametrize('family, size', CELLS)
@torch.no_grad()
def test_safetensors(export, images, family, size):
    done = export(family, size, 'safetensors')
    path = done.folder / 'model.safetensors'
    with safe_open(path, 'pt') as file:
        meta = json.loads(file.metadata()['poa_mm'])
    network = ImageClassifier(backbone=meta['config'])
    network.load_state_dict(load_file(path))
    network.eval()
    x = images(SIDE[family])
    feature = network.extract_feat(x)[-1]
    expected = done.backbone.image_features(x, done.subnet)
    torch.testing.assert_close(feature if feature.ndim == 2 else feature.mean((2, 3)), expected, rtol=1e-5, atol=1e-5)
    # Also all commands that read extracted networks take it.
    assert ExtractedNetwork.load(path).meta == json.loads(json.dumps(done.network.meta))
    again = open_network(path).backbone.image_features(x)
    torch.testing.assert_close(again, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('family, format', [(family, format) for family, formats in FITS.items() for format in formats])
def test_card(export, family, format):
    done = export(family, 'smallest', format)
    _, _, text = (done.folder / 'README.md').read_text().split('---\n', 2)
    header = metadata_load(done.folder / 'README.md')
    assert header['pipeline_tag'] == 'image-feature-extraction' and format in header['tags']
    assert header['model-index'][0]['results'][0]['metrics'][0]['value'] == 81.25
    for fact in (
        f'{done.network.num_params:,}',
        '`ImageFolder photographs`',
        '`tiny/iter_12.pth`, iteration `12`',
        '120, 110, 100',
        '81.25',
    ):
        assert fact in text
    macs = float(re.search(r'operations +\| ([\d.e-]+) G', text)[1]) * 1e9
    assert 0.5 * done.network.num_params < macs < 1000 * done.network.num_params
    (code,) = re.findall(r'```python\n(.*?)```', text, re.S)
    assert 'FOLDER' in code and compile(code, 'card', 'exec')


def test_cards_loading_lines_run(export, images):
    """Of the formats whose lines need no image."""
    done = export('vit', 'smallest', 'safetensors')
    code = re.search(r'```python\n(.*?)```', (done.folder / 'README.md').read_text(), re.S)[1]
    found = {}
    exec(code.replace('FOLDER', str(done.folder)), found)
    assert sum(p.numel() for p in found['network'].parameters()) == done.network.num_params


def test_text_of_a_checkpoint_is_no_markdown(export, backbones, tmp_path):

    network = extract_network(backbones['vit'], '24x5', dict(checkpoint='a`|\n# Title\n---\n.pth'))
    card = (write_target(network, tmp_path, 'safetensors') / 'README.md').read_text()
    assert '\n# Title' not in card and card.count('---\n') == 2


@pytest.mark.parametrize(
    'format, options, message',
    [
        (
            'coreml',
            Options(),
            r"one of \['timm', 'transformers', 'onnx', 'torch.export', 'safetensors'\], got 'coreml'",
        ),
        ('timm', Options(maps=True), '--format timm has no option --maps, only --image-size'),
    ],
)
def test_wrong_options(format, options, message):
    with pytest.raises(UserError, match=message):
        check_target(format, options)


@pytest.mark.parametrize('format', [name for name, target in TARGETS.items() if target.packages])
def test_a_missing_package_is_named(monkeypatch, format):
    missing = TARGETS[format].packages[0]
    monkeypatch.setattr('poa_mm.extraction.targets.find_spec', lambda name: None if name == missing else object())
    with pytest.raises(UserError, match=rf"format '{format}' needs {missing}: pip install 'poa_mm\[export\]'"):
        check_target(format, Options())


def test_image_size_must_fit(export):
    with pytest.raises(UserError, match='the image size 30 must be a multiple of the patch size 8'):
        export('vit', 'smallest', 'safetensors', image_size=30)


def test_push(export, monkeypatch):
    calls = []

    class Api:
        def create_repo(self, repository, exist_ok):
            calls.append((repository, exist_ok))

        def upload_folder(self, repo_id, folder_path, commit_message):
            calls.append((repo_id, folder_path))
            return 'https://hub/commit/1'

    monkeypatch.setattr('huggingface_hub.HfApi', Api)
    folder = export('vit', 'smallest', 'timm').folder
    assert calls == []  # nothing is sent without being asked
    assert push_folder(folder, 'someone/tiny') == 'https://hub/commit/1'
    assert calls == [('someone/tiny', True), ('someone/tiny', str(folder))]


def test_a_refused_push_is_one_sentence(monkeypatch, tmp_path):
    with pytest.raises(UserError, match=f"cannot push {tmp_path} to 'a/b/c' at https://huggingface.co: "):
        push_folder(tmp_path, 'a/b/c')  # refused before anything is sent


@pytest.mark.parametrize('error', [ConnectionError, LocalTokenNotFoundError, *HfHubHTTPError.__bases__])
def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch, tmp_path, error):
    def create_repo(self, repository, exist_ok):
        raise error('no way\nsecond line')

    monkeypatch.setattr('huggingface_hub.HfApi.create_repo', create_repo)
    with pytest.raises(UserError, match=r"cannot push .* to 'a/b' at https://huggingface.co: no way$"):
        push_folder(tmp_path, 'a/b')

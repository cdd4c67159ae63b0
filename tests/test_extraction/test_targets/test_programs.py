"""ONNX in onnxruntime, and programs of torch.export."""

import json

import onnx
import onnxruntime
import pytest
import torch

from poa_mm.errors import UserError
from poa_mm.extraction.export import extract_network
from poa_mm.extraction.targets import write_target
from tests.helpers.cells import CELLS, SIDE, SOURCE

SMALL = [('vit', '24x5'), ('swin', '24x2'), ('resnet', 'smallest')]


def run_onnx(folder):
    session = onnxruntime.InferenceSession(folder / 'model.onnx', providers=['CPUExecutionProvider'])
    assert [i.name for i in session.get_inputs()] == ['images']
    return lambda images: [torch.from_numpy(out) for out in session.run(None, {'images': images.numpy()})]


def run_pt2(folder):
    program = torch.export.load(folder / 'model.pt2').module()

    def run(images):
        outputs = program(images)
        return list(outputs) if isinstance(outputs, tuple) else [outputs]

    return run


PROGRAMS = {'onnx': (run_onnx, 1e-4), 'torch.export': (run_pt2, 1e-5)}


@pytest.mark.parametrize('format', PROGRAMS)
@pytest.mark.parametrize('family, size', CELLS)
@torch.no_grad()
def test_same_feature(export, levels, family, size, format):
    done = export(family, size, format)
    load, tolerance = PROGRAMS[format]
    run = load(done.folder)
    for count in (1, 3):
        images, normalised = levels(count, SIDE[family], SIDE[family])
        (feature,) = run(images)
        expected = done.backbone.image_features(normalised, done.subnet)
        torch.testing.assert_close(feature, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('format', PROGRAMS)
@pytest.mark.parametrize('family, size', SMALL)
@torch.no_grad()
def test_same_maps(export, levels, elastic_maps, family, size, format):
    done = export(family, size, format, maps=True)
    load, tolerance = PROGRAMS[format]
    images, normalised = levels(2, SIDE[family], SIDE[family])
    for got, wanted in zip(
        load(done.folder)(images), elastic_maps(done.backbone, normalised, done.subnet), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


@torch.no_grad()
def test_any_size(export, levels):
    done = export('resnet', 'smallest', 'onnx', any_size=True)
    load, tolerance = PROGRAMS['onnx']
    run = load(done.folder)
    for height, width in ((64, 64), (96, 45)):
        images, normalised = levels(2, height, width)
        expected = done.backbone.image_features(normalised, done.subnet)
        torch.testing.assert_close(run(images)[0], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('format, family, side', [('onnx', 'vit', 48), ('torch.export', 'swin', 40)])
@torch.no_grad()
def test_another_size_of_the_export(export, levels, format, family, side):
    done = export(family, 'smallest', format, image_size=side)
    load, tolerance = PROGRAMS[format]
    images, normalised = levels(2, side, side)
    expected = done.backbone.image_features(normalised, done.subnet)
    torch.testing.assert_close(load(done.folder)(images)[0], expected, rtol=tolerance, atol=tolerance)


def test_metadata(export):
    onnx_file = export('resnet', 'smallest', 'onnx')
    properties = {p.key: p.value for p in onnx.load(onnx_file.folder / 'model.onnx').metadata_props}
    assert json.loads(properties['poa_mm'])['subnet'] == '32x1-1-1-1'
    extra = {'poa_mm.json': ''}
    torch.export.load(export('resnet', 'smallest', 'torch.export').folder / 'model.pt2', extra_files=extra)
    assert json.loads(extra['poa_mm.json'])['iteration'] == 12


def test_any_size_needs_a_resnet(export):
    with pytest.raises(UserError, match='--any-size needs a ResNet'):
        export('vit', 'smallest', 'onnx', any_size=True)


@pytest.mark.parametrize('format', PROGRAMS)
def test_a_wrong_program_is_not_written(backbones, tmp_path, monkeypatch, format):
    monkeypatch.setattr('poa_mm.extraction.targets.static.FeatureProgram.forward', changing())
    network = extract_network(backbones['vit'], 'smallest', dict(SOURCE, img_size=SIDE['vit']))
    with pytest.raises(RuntimeError, match='does not compute what the network does'):
        write_target(network, tmp_path / 'out', format)
    assert not list(tmp_path.rglob('*'))


def changing():
    """A forward pass that computes something else in every call."""
    calls = []

    def forward(self, images):
        calls.append(0)
        return images.mean((2, 3)) * len(calls)

    return forward

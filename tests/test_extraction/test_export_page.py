"""The Python of docs/export.md runs as it is printed, with a tiny network in place of a trained one."""

import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import poa_mm
from poa_mm.extraction import export_subnet, extract_network
from poa_mm.extraction.targets import write_target
from tests.helpers.networks import VIT

PAGE = Path(__file__).parents[2] / 'docs' / 'export.md'


def test_nearest_neighbours_in_onnxruntime(random_backbone, tmp_path, monkeypatch, capsys):
    backbone = random_backbone({**VIT, 'img_size': 32})
    write_target(extract_network(backbone, '24x3', {}), tmp_path / 'subnets/onnx/24x3', 'onnx')
    rng = np.random.default_rng(0)
    pictures = {}
    for name, colour in (('red', (220, 30, 30)), ('blue', (30, 30, 220))):
        folder = tmp_path / 'photographs' / name
        folder.mkdir(parents=True)
        for i in range(6):
            noise = rng.integers(-25, 25, (40 + i, 60, 3))
            picture = Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8))
            picture.save(folder / f'{i}.png')
            pictures[f'photographs/{name}/{i}.png'] = picture
    pictures['photographs/blue/3.png'].save(tmp_path / 'query.jpg', quality=95)

    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.S)
    assert 'torch' not in code and 'poa_mm' not in code
    found = {}
    exec(compile(code, str(PAGE), 'exec'), found)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'class: blue' and 'photographs/blue/3.png' in lines[1]

    network = poa_mm.load(export_subnet(backbone, '24x3', tmp_path / 'ours', {}))
    ours = network([pictures[str(path)] for path in found['paths']])
    ours = torch.nn.functional.normalize(ours).numpy()
    assert (ours * np.load('gallery.npy')).sum(1).min() > 0.999  # Pillow and torchvision round differently

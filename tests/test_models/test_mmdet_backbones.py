"""Extracted networks in mmdet's own backbones.

mmdet needs compiled operators to be imported, none of which a backbone uses: an empty module stands for them, in
a process of its own so that no other test meets it.
"""

import subprocess
import sys

SCRIPT = """
import sys
import types


class Operators(types.ModuleType):
    def __getattr__(self, name):
        return None


sys.modules.setdefault('mmcv._ext', Operators('mmcv._ext'))

import torch
from mmdet.models.backbones import ResNet, SwinTransformer
from poa_mm.models import ElasticResNet, ElasticSwinTransformer

torch.manual_seed(0)
torch.set_grad_enabled(False)
swin, resnet = ElasticSwinTransformer().eval(), ElasticResNet().eval()
static = [(swin, name, SwinTransformer(**swin.static_config(name)['arch'])) for name in 'TSB']
static += [(resnet, f'R{d}', ResNet(d, norm_cfg=dict(type='GN', num_groups=32))) for d in (50, 101, 152)]
images = torch.randn(1, 3, 64, 100)
for elastic, name, network in static:
    network.load_state_dict(elastic.extract(name), strict=True)
    network.eval()
    maps = network(images)
    assert len(maps) == 4
    expected = elastic.image_features(images, name)
    torch.testing.assert_close(maps[-1].mean((2, 3)), expected, rtol=1e-5, atol=1e-5)
"""


def test_mmdet_loads_them_strictly():
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]

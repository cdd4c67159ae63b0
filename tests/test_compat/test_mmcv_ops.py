"""torchvision's operators in the place of mmcv's compiled ones.

``ours`` is always the supplied module; the comparison with the compiled one runs where mmcv has it.
"""

import math
import subprocess
import sys
from importlib.machinery import PathFinder

import mmcv
import pytest
import torch

from poa_mm.compat import OperatorFinder
from poa_mm.compat.mmcv_ops import NAME, TorchvisionOperators

HAS_COMPILED = PathFinder.find_spec(NAME, mmcv.__path__) is not None
needs_compiled = pytest.mark.skipif(not HAS_COMPILED, reason='mmcv here has no compiled operators')
DEVICES = ['cpu', *(['cuda'] if torch.cuda.is_available() else [])]
ours = TorchvisionOperators(NAME)


@pytest.fixture
def compiled():
    from importlib import import_module

    return import_module(NAME)


@pytest.fixture
def mmcv_runs_ours(monkeypatch):
    """mmcv.ops on the supplied operators, also where it has its own."""
    import mmcv.ops  # noqa: F401

    for module in ('nms', 'roi_align'):
        monkeypatch.setattr(sys.modules[f'mmcv.ops.{module}'], 'ext_module', ours)


def boxes_and_scores(count, ties=False, device='cpu'):
    torch.manual_seed(count)
    corners = torch.rand(count, 2) * 60
    boxes = torch.cat([corners, corners + 4 + torch.rand(count, 2) * 30], 1)
    scores = (torch.rand(count) * 8).floor() / 8 if ties else torch.rand(count)
    return boxes.to(device), scores.to(device)


def images_and_rois(device='cpu', dtype=torch.float32):
    torch.manual_seed(0)
    images = torch.randn(2, 3, 13, 17, dtype=dtype, device=device)
    rois = torch.tensor(
        [
            [0, 3.3, 2.1, 40.0, 33.3],
            [1, -5, -9, 20, 61],
            [1, 10, 10, 10.2, 10.1],
            [0, 30, 20, 90, 80],
            [0, 50, 9, 70, 8],
        ],
        dtype=dtype,
        device=device,
    )
    return images, rois


def align(ops, images, rois, ratio, aligned, size=(3, 2), scale=0.25):
    """Output and gradient as mmcv.ops.RoIAlign gets them."""
    options = dict(spatial_scale=scale, sampling_ratio=ratio, pool_mode=1, aligned=aligned)
    options.update(aligned_height=size[0], aligned_width=size[1])
    output = images.new_zeros(len(rois), images.shape[1], *size)
    empty, gradient = images.new_zeros(0), torch.zeros_like(images)
    ops.roi_align_forward(images, rois, output, empty, empty, **options)
    upstream = torch.linspace(-1, 1, output.numel()).view_as(output).to(output)
    ops.roi_align_backward(upstream, rois, empty, empty, gradient, **options)
    return output, gradient


# --- against the definition ---
def reference_nms(boxes, scores, threshold, offset):
    order, kept = sorted(range(len(scores)), key=lambda i: -scores[i]), []
    for i in order:
        overlaps = []
        for j in kept:
            sides = [
                max(0.0, min(boxes[i][a + 2], boxes[j][a + 2]) - max(boxes[i][a], boxes[j][a]) + offset) for a in (0, 1)
            ]
            areas = [math.prod(b[a + 2] - b[a] + offset for a in (0, 1)) for b in (boxes[i], boxes[j])]
            overlaps.append(math.prod(sides) / (sum(areas) - math.prod(sides)))
        if all(overlap <= threshold for overlap in overlaps):
            kept.append(i)
    return kept


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('ties', [False, True])
def test_nms_is_its_definition(device, offset, ties):
    boxes, scores = boxes_and_scores(60, ties, device)
    kept = ours.nms(boxes, scores, iou_threshold=0.3, offset=offset)
    assert kept.dtype == torch.int64 and kept.device == boxes.device
    assert 5 < len(kept) < 60
    assert kept.tolist() == reference_nms(boxes.tolist(), scores.tolist(), 0.3, offset)


def test_offset_matters():
    boxes, scores = torch.tensor([[0.0, 0, 2, 2], [0, 1, 2, 4]]), torch.tensor([0.9, 0.8])
    # 2 of 8 pixels, or 6 of 15, are shared.
    assert ours.nms(boxes, scores, 0.3, offset=0).tolist() == [0, 1]
    assert ours.nms(boxes, scores, 0.3, offset=1).tolist() == [0]


def bilinear(image, y, x):
    """Of one channel; zero further than a pixel outside, the border's value within it."""
    height, width = image.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return image.new_zeros(())
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = image[top, left] * (1 - x + left) + image[top, right] * (x - left)
    lower = image[bottom, left] * (1 - x + left) + image[bottom, right] * (x - left)
    return upper * (1 - y + top) + lower * (y - top)


def reference_roi_align(images, rois, ratio, aligned, size, scale):
    output = []
    for index, *corners in rois.tolist():
        x1, y1, x2, y2 = (corner * scale - (0.5 if aligned else 0) for corner in corners)
        spans = [y2 - y1, x2 - x1]
        if not aligned:
            spans = [max(span, 1.0) for span in spans]
        cell = [span / cells for span, cells in zip(spans, size, strict=True)]
        counts = [ratio or math.ceil(c) for c in cell]
        channels = []
        for image in images[int(index)]:
            for i in range(size[0]):
                for j in range(size[1]):
                    samples = [
                        bilinear(
                            image,
                            y1 + (i + (a + 0.5) / counts[0]) * cell[0],
                            x1 + (j + (b + 0.5) / counts[1]) * cell[1],
                        )
                        for a in range(counts[0])
                        for b in range(counts[1])
                    ]
                    channels.append(sum(samples, image.new_zeros(())) / max(len(samples), 1))
        output.append(torch.stack(channels).view(len(images[0]), *size))
    return torch.stack(output)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_is_its_definition(device, aligned, ratio):
    images, rois = images_and_rois(device, torch.float64)
    images.requires_grad_()
    expected = reference_roi_align(images, rois, ratio, aligned, (3, 2), 0.25)
    upstream = torch.linspace(-1, 1, expected.numel()).view_as(expected).to(expected)
    (gradient,) = torch.autograd.grad(expected, images, upstream)
    output, own_gradient = align(ours, images.detach(), rois, ratio, aligned)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(own_gradient, gradient)


@pytest.mark.parametrize('device', DEVICES)
def test_half_precision_is_computed_in_fp32(device):
    images, rois = (tensor.bfloat16() for tensor in images_and_rois(device))
    rough, fine = align(ours, images, rois, 0, True), align(ours, images.float(), rois.float(), 0, True)
    for mine, theirs in zip(rough, fine, strict=True):
        assert mine.dtype == torch.bfloat16
        torch.testing.assert_close(mine.float(), theirs, atol=2e-2, rtol=1e-2)
    boxes, scores = boxes_and_scores(40, device=device)
    boxes, scores = boxes.bfloat16(), scores.bfloat16()
    assert ours.nms(boxes, scores, 0.3).equal(ours.nms(boxes.float(), scores.float(), 0.3))


def test_gradient_is_added():
    images, rois = images_and_rois()
    _, gradient = align(ours, images, rois, 2, True)
    total = torch.ones_like(images)
    options = dict(spatial_scale=0.25, sampling_ratio=2, pool_mode=1, aligned=True, aligned_height=3, aligned_width=2)
    upstream = torch.linspace(-1, 1, 5 * 3 * 6).view(5, 3, 3, 2)
    ours.roi_align_backward(upstream, rois, images[:0], images[:0], total, **options)
    torch.testing.assert_close(total, gradient + 1)


# --- through mmcv ---
@pytest.mark.parametrize('device', DEVICES)
def test_mmcv_calls_them(mmcv_runs_ours, device):
    from mmcv.ops import RoIAlign, batched_nms
    from mmcv.ops import nms as mmcv_nms

    images, rois = images_and_rois(device)
    layer = RoIAlign((3, 2), 0.25, sampling_ratio=2)
    leaf = images.clone().requires_grad_()
    layer(leaf, rois).square().sum().backward()
    output, _ = align(ours, images, rois, 2, True)
    assert layer(images, rois).equal(output) and leaf.grad.abs().sum() > 0

    boxes, scores = boxes_and_scores(60, device=device)
    labels = torch.arange(60, device=device) % 3
    cfg = dict(type='nms', iou_threshold=0.3)
    for agnostic in (True, False):
        found, kept = batched_nms(boxes, scores, labels, cfg, class_agnostic=agnostic)
        groups = [torch.arange(60)] if agnostic else [(labels == c).nonzero()[:, 0].cpu() for c in range(3)]
        expected = sorted(
            (int(g[i]) for g in groups for i in reference_nms(boxes[g].tolist(), scores[g].tolist(), 0.3, 0)),
            key=lambda i: -scores[i],
        )
        assert kept.tolist() == expected and found[:, 4].equal(scores[kept]) and found[:, :4].equal(boxes[kept])
    split = batched_nms(boxes, scores, labels, dict(cfg, split_thr=10))
    assert split[1].tolist() == kept.tolist()
    best, _ = mmcv_nms(boxes, scores, 0.3, score_threshold=0.5, max_num=4)
    assert len(best) == 4 and best[:, 4].min() > 0.5


@pytest.mark.parametrize('device', DEVICES)
def test_empty_inputs(mmcv_runs_ours, device):
    from mmcv.ops import RoIAlign, batched_nms

    images, rois = images_and_rois(device)
    leaf = images.clone().requires_grad_()
    output = RoIAlign((3, 2), 0.25)(leaf, rois[:0])
    assert output.shape == (0, 3, 3, 2)
    output.sum().backward()
    assert leaf.grad.shape == images.shape and not leaf.grad.any()

    none = torch.zeros(0, 4, device=device)
    assert ours.nms(none, none[:, 0], iou_threshold=0.5, offset=0).shape == (0,)
    # mmcv takes the maximum of all coordinates first, so mmdet asks only with boxes; agnostic is free of it.
    found, kept = batched_nms(none, none[:, 0], none[:, 0].long(), dict(iou_threshold=0.5), class_agnostic=True)
    assert found.shape == (0, 5) and kept.shape == (0,)


def test_what_is_missing_says_so():
    with pytest.raises(NotImplementedError, match=r'softnms needs mmcv with its compiled operators.*pip install'):
        ours.softnms(torch.zeros(1, 4))
    images, rois = images_and_rois()
    with pytest.raises(NotImplementedError, match="pool_mode='max' needs mmcv"):
        ours.roi_align_forward(images, rois, *[images] * 3, 3, 2, 0.25, 0, pool_mode=0, aligned=True)
    with pytest.raises(NotImplementedError, match="pool_mode='max' needs mmcv"):
        ours.roi_align_backward(images, rois, *[images] * 3, 3, 2, 0.25, 0, pool_mode=0, aligned=True)


# --- where Python finds them ---
def test_real_ones_go_first():
    finder = OperatorFinder()
    assert finder.find_spec(NAME, mmcv.__path__, None).origin == 'poa_mm.compat.mmcv_ops'
    assert finder.find_spec('mmcv._other', mmcv.__path__, None) is None
    own = [isinstance(f, OperatorFinder) for f in sys.meta_path]
    assert sum(own) == 1 and own.index(True) > sys.meta_path.index(PathFinder)
    OperatorFinder.install()
    assert sum(isinstance(f, OperatorFinder) for f in sys.meta_path) == 1


SCRIPT = """
import sys
import poa_mm
heavy = {'torch', 'torchvision', 'mmengine', 'mmcv'} & sys.modules.keys()
assert not heavy, heavy
import poa_mm.elastic
assert not {'torchvision', 'mmengine', 'mmcv'} & sys.modules.keys()
import torch, mmcv.ops
assert 'mmdet' not in sys.modules and mmcv.ops.nms.__module__ == 'mmcv.ops.nms'
print('imported')
boxes = torch.tensor([[0.0, 0, 2, 2]])
mmcv.ops.nms(boxes, boxes[:, 0], 0.5)
mmcv.ops.nms(boxes, boxes[:, 0], 0.5)
"""


def test_importing_does_nothing_and_first_use_is_told_once():
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    quiet, _, told = (done.stdout + done.stderr).partition('imported')
    assert 'operators' not in quiet and told.count('no compiled operators') == (0 if HAS_COMPILED else 1)


# --- against the compiled ones ---
@needs_compiled
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.3, 0.5, 0.7])
@pytest.mark.parametrize('count', [0, 1, 7, 200, 3000])
def test_nms_is_the_compiled(compiled, count, threshold, offset):
    boxes, scores = boxes_and_scores(count)
    mine, theirs = (ops.nms(boxes, scores, iou_threshold=threshold, offset=offset) for ops in (ours, compiled))
    assert mine.dtype == theirs.dtype and mine.tolist() == theirs.tolist()


@needs_compiled
def test_nms_with_ties_is_the_compiled_in_score_order(compiled):
    """Equal scores: the compiled sort is not stable, so only sets that ties do not change can be asked for."""
    boxes, scores = boxes_and_scores(200, ties=True)
    apart = boxes + torch.arange(200.0)[:, None] * 1000
    mine, theirs = (ops.nms(apart, scores, iou_threshold=0.3, offset=0) for ops in (ours, compiled))
    assert sorted(mine.tolist()) == sorted(theirs.tolist()) and scores[mine].equal(scores[theirs])


@needs_compiled
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 1, 2, 3])
@pytest.mark.parametrize('rows', [slice(None), slice(0, 0), slice(2, 3)])
def test_roi_align_is_the_compiled(compiled, aligned, ratio, rows):
    images, rois = images_and_rois()
    rois = rois[:4]  # the compiled ones stop with an error at a box with x2 < x1 (aligned, CPU)
    mine, theirs = (align(ops, images, rois[rows], ratio, aligned) for ops in (ours, compiled))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@needs_compiled
@pytest.mark.parametrize('aligned', [True, False])
def test_roi_align_is_the_compiled_at_real_sizes(compiled, aligned):
    torch.manual_seed(0)
    images, (boxes, _) = torch.randn(2, 16, 50, 68), boxes_and_scores(300)
    rois = torch.cat([(torch.arange(300) % 2).float()[:, None], boxes * 3 - 8], 1)
    mine, theirs = (align(ops, images, rois, 0, aligned, (7, 7)) for ops in (ours, compiled))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@needs_compiled
@pytest.mark.parametrize('agnostic', [True, False])
@pytest.mark.parametrize('split', [10000, 50])
def test_batched_nms_is_the_compiled(mmcv_runs_ours, compiled, monkeypatch, agnostic, split):
    from mmcv.ops import batched_nms

    boxes, scores = boxes_and_scores(400)
    labels, cfg = torch.arange(400) % 5, dict(type='nms', iou_threshold=0.5, split_thr=split)
    mine = batched_nms(boxes, scores, labels, cfg, class_agnostic=agnostic)
    monkeypatch.setattr(sys.modules['mmcv.ops.nms'], 'ext_module', compiled)
    theirs = batched_nms(boxes, scores, labels, cfg, class_agnostic=agnostic)
    assert all(a.equal(b) for a, b in zip(mine, theirs, strict=True))

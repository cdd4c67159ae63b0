"""Changes of the training step and of evaluation beside the slow versions that they replaced.

``tests/test_models/test_twins.py`` proves that both return the same, and ``python -m benchmarks.parts`` times them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from poa_mm.elastic import ElasticLinear
from poa_mm.engine import TeacherEMAHook
from poa_mm.models.backbones.attention import attend
from poa_mm.models.backbones.drop_path import add_residual, draw_kept
from poa_mm.models.backbones.ffn import ElasticFFN
from poa_mm.models.heads.prototype_head import PrototypeLayer
from poa_mm.models.losses import SinkhornKnopp, cross_entropy, cross_view_local, same_view
from poa_mm.models.losses.fused import fusing
from poa_mm.models.poa import take_patches
from poa_mm.registry import MODELS

TEMPERATURE = 0.1


class Differentiable:
    """Calls a function forwards and backwards.

    Args:
        function: Without arguments, returns one tensor.
        inputs: What the gradient is of; those that are not parameters become leaves.
    """

    def __init__(self, function: Callable[[], Tensor], inputs: Sequence[Tensor]) -> None:
        self.function, self.inputs = function, [x.requires_grad_() for x in inputs]
        self.weights: Tensor | None = None

    def __call__(self) -> list[Tensor]:
        """The output and the gradients of a weighted sum of it."""
        out = self.function()
        if self.weights is None:
            weights = torch.linspace(0.5, 1.5, out.shape[-1], dtype=out.dtype)
            self.weights = weights.expand_as(out).contiguous()
        grads = torch.autograd.grad(out, self.inputs, self.weights, allow_unused=True)
        return [out.detach(), *(grad for grad in grads if grad is not None)]

    def kept_bytes(self) -> int:
        """What the forward pass keeps for the backward pass, parameters not counted."""
        storages = {}

        def pack(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            self.function()
        for parameter in self.inputs:
            if isinstance(parameter, torch.nn.Parameter):
                storages.pop(parameter.untyped_storage().data_ptr(), None)
        return sum(storages.values())


def vit(width: int, depth: int, **kwargs) -> torch.nn.Module:
    cfg = dict(type='poa_mm.ElasticVisionTransformer', img_size=96, patch_size=12, widths=(width, width, 32))
    return MODELS.build({**cfg, 'depths': (depth, depth), 'head_dim': 32, **kwargs}).train()


def swin(width: int, depth: int) -> torch.nn.Module:
    widths, depths = (width, width, 16), (depth, depth)
    return MODELS.build(dict(type='poa_mm.ElasticSwinTransformer', widths=widths, depths=depths)).train()


def joined_crops(family, width, depth, images, sizes):
    """Global and local crops in one pass, against a pass for each."""
    backbone = {'vit': vit, 'swin': swin}[family](width, depth)
    crops = [torch.randn(n * images, 3, size, size) for n, size in zip((2, 8), sizes)]
    weights = list(backbone.parameters())

    def features(outputs):
        return torch.cat([image for image, _ in outputs])

    separate = Differentiable(lambda: features([backbone([c])[0] for c in crops]), weights)
    return separate, Differentiable(lambda: features(backbone(crops)), weights)


def drop_path(images, width, rate, compiled=False):
    """Residual branches of the kept samples only, against all samples and a mask."""
    shapes = [(2 * images, 197), (8 * images, 37)]
    ffn = ElasticFFN(width, 4 * width, 0, True)
    x = torch.randn(sum(n * length for n, length in shapes), width)
    (kept,) = draw_kept(shapes, [rate], x.device)
    scales = [torch.full((n * length,), scale) for (n, length), scale in zip(shapes, kept.scales)]
    mask = (torch.cat(scales) * (kept.places >= 0)).unsqueeze(1)

    def subset(x):
        return add_residual(x, shapes, lambda x, _: ffn(x), kept)

    if compiled:
        subset = torch.compile(subset)
    inputs = [x, *ffn.parameters()]
    return Differentiable(lambda: x + ffn(x) * mask, inputs), Differentiable(lambda: subset(x), inputs)


def layer_scale_in_weights(tokens, width, size):
    """LayerScale on the weights of the projection before it, against on its output."""
    x, layer, gain = torch.randn(tokens, size), ElasticLinear(width, width), torch.nn.Parameter(torch.rand(width))
    inputs = [x, gain, *layer.parameters()]
    return Differentiable(lambda: layer(x) * gain[:size], inputs), Differentiable(lambda: layer(x, gain), inputs)


def scaled_slice(tokens, size, full, scaled_weight):
    """The scale on the slice of a weight, against on activations or on the whole weight."""
    x, layer, n = torch.randn(tokens, size), ElasticLinear(full, 4 * full), 4 * size

    def multiplied():
        if scaled_weight:
            return F.linear(x, (layer.weight * (full / size))[:n, :size], layer.bias[:n])
        return F.linear(x * (full / size), layer.weight[:n, :size], layer.bias[:n])

    inputs = [x, *layer.parameters()]
    return Differentiable(multiplied, inputs), Differentiable(lambda: layer(x), inputs)


def sliced_qkv(tokens, size, full):
    """The three slices of a fused qkv as views, against rows taken by an index tensor."""
    x, layer = torch.randn(tokens, size), ElasticLinear(full, 3 * full, groups=3)
    rows = torch.cat([torch.arange(size) + i * full for i in range(3)])

    def indexed():
        return torch.addmm(layer.bias[rows], x, layer.weight[rows][:, :size].t(), alpha=full / size)

    inputs = [x, *layer.parameters()]
    return Differentiable(indexed, inputs), Differentiable(lambda: layer(x), inputs)


def attention(n, heads, length, dim, dtype):
    """Plain products in half precision on a CPU, against PyTorch's attention."""
    qkv = [torch.randn(n, heads, length, dim, dtype=getattr(torch, dtype)) for _ in range(3)]
    return Differentiable(lambda: F.scaled_dot_product_attention(*qkv), qkv), Differentiable(lambda: attend(*qkv), qkv)


def masked_patches(n, length, dim):
    """``index_select``, against indexing."""
    x, index = torch.randn(n, length, dim), torch.randperm(n * length)[: n * length // 3].sort().values
    slow = Differentiable(lambda: x.flatten(0, 1)[index], [x])
    return slow, Differentiable(lambda: take_patches(x, index), [x])


def sinkhorn(rows, prototypes, fuse=False):
    """Factors of rows and columns, against a matrix that is rewritten."""
    logits, balance = torch.randn(rows, prototypes).clamp(-1, 1), SinkhornKnopp()

    def balanced():
        with fusing(fuse):
            return balance({'image': [logits]}, 0.04)['image']

    def matrix():
        q = (logits / 0.04).exp().T
        q = q / q.sum()
        for _ in range(3):
            q = q / q.sum(1, keepdim=True) / prototypes
            q = q / q.sum(0, keepdim=True) / rows
        return [(q * rows).T]

    return matrix, balanced


def plain_cross_entropy(targets, logits):
    return -(targets * (logits.float() / TEMPERATURE).log_softmax(-1)).sum(-1)


def chunked_cross_entropy(rows, prototypes, dtype, fuse=False):
    """A softmax that is computed again in the backward pass, against one that is kept."""
    targets, logits = torch.randn(rows, prototypes).softmax(-1), torch.randn(rows, prototypes).to(getattr(torch, dtype))
    slow = Differentiable(lambda: plain_cross_entropy(targets, logits), [logits])

    def chunked():
        with fusing(fuse):
            return cross_entropy(targets, logits, TEMPERATURE)

    return slow, Differentiable(chunked, [logits])


def local_crops(images, crops, prototypes, fuse=False):
    """Targets of both global crops summed first, against every pair of a global and a local crop."""
    targets = torch.randn(2 * images, prototypes).softmax(-1)
    logits = torch.randn(crops * images, prototypes)

    def pairs():
        parts = [plain_cross_entropy(t, s).mean() for t in targets.chunk(2) for s in logits.chunk(crops)]
        return torch.stack(parts).sum()[None]

    def summed():
        with fusing(fuse):
            return cross_view_local(targets, logits, TEMPERATURE)[None]

    return Differentiable(pairs, [logits]), Differentiable(summed, [logits])


def same_views(rows, prototypes):
    """Targets that are softmaxes of logits, compiled, against as they are."""
    intact, elastic = torch.randn(rows, prototypes), torch.randn(rows, prototypes)

    def compared(fuse):
        with fusing(fuse):
            return same_view(intact, elastic, TEMPERATURE)[None]

    return tuple(Differentiable(partial(compared, fuse), [elastic]) for fuse in (False, True))


def weight_norm(tokens, dim, prototypes):
    """Prototypes normalised once for both students, against once for each."""
    layer, students = PrototypeLayer(dim, prototypes), [torch.randn(tokens, dim) for _ in range(2)]

    def once():
        weight = layer.weight()
        return torch.cat([F.linear(x, weight) for x in students])

    inputs = [*students, *layer.parameters()]
    each = Differentiable(lambda: torch.cat([F.linear(x, layer.weight()) for x in students]), inputs)
    return each, Differentiable(once, inputs)


def parameters(layers, width):
    """Tensors like those of Transformer blocks."""
    shapes = [(3 * width, width), (width, width), (4 * width, width), (width, 4 * width), *[(width,)] * 8]
    return [torch.randn(shape) for _ in range(layers) for shape in shapes]


def teacher_update(layers, width):
    """One call for all tensors, against one for each; both skip a step that was not finite."""
    student, teacher = parameters(layers, width), parameters(layers, width)
    hook = TeacherEMAHook(0.99, 0.99, steps=1)
    hook.student, hook.teacher, hook.buffers = student, [t.clone() for t in teacher], []
    finite = torch.ones(())

    def each():
        for t, s in zip(teacher, student):
            t.lerp_(s, 0.01 * finite)
        return teacher

    def together():
        hook.update(0.99, finite)
        return hook.teacher

    return each, together


def checkpointing(width, depth, images):
    """Activations computed again, against kept: costs time and saves memory."""
    backbones = [vit(width, depth, with_cp=with_cp) for with_cp in (False, True)]
    backbones[1].load_state_dict(backbones[0].state_dict())
    x = torch.randn(images, 3, 96, 96)

    def version(backbone):
        return Differentiable(lambda: backbone([x])[0][0], list(backbone.parameters()))

    return version(backbones[0]), version(backbones[1])


def in_turn(kind, images, width, depths):
    """Features of all sub-networks: blocks that they begin with once, against each sub-network alone."""
    cfg = dict(
        vit=dict(type='poa_mm.ElasticVisionTransformer', img_size=96, patch_size=12, head_dim=32),
        swin=dict(type='poa_mm.ElasticSwinTransformer', img_size=64, window_size=4),
        resnet=dict(type='poa_mm.ElasticResNet', stem_channels=16, out_channels=4 * width, num_groups=8),
    )
    backbone = MODELS.build({**cfg[kind], 'widths': [width], 'depths': depths}).eval()
    x = torch.randn(images, 3, backbone.img_size or 64, backbone.img_size or 64)

    @torch.no_grad()
    def alone():
        return [backbone.image_features(x, subnet) for subnet in backbone.space]

    @torch.no_grad()
    def together():
        found = {subnet: backbone.image_features(x, subnet) for subnet in backbone.in_turn(backbone.space)}
        return [found[subnet] for subnet in backbone.space]

    return alone, together


def check_equal(name, *arguments):
    """Both versions give the same results and gradients."""
    torch.manual_seed(0)
    slow, fast = globals()[name](*arguments)
    expected, found = slow(), fast()
    assert len(expected) == len(found) and any(value.any() for value in expected)
    half = torch.bfloat16 in [value.dtype for value in expected]
    for a, b in zip(found, expected):
        scale = b.abs().max().item()
        torch.testing.assert_close(a.float(), b.float(), rtol=1e-5, atol=(2e-2 if half else 1e-5) * scale)

"""Every speed-up of the step beside the slow version that it replaced, both ready to be called.

Both give the same results (``tests/test_benchmark/test_parts.py``), so only their time and memory differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from poa_mm.elastic import ElasticLinear
from poa_mm.engine import TeacherEMAHook
from poa_mm.models.backbones.attention import attend
from poa_mm.models.backbones.drop_path import add_residual
from poa_mm.models.backbones.ffn import ElasticFFN
from poa_mm.models.heads.prototype_head import PrototypeLayer
from poa_mm.models.losses import SinkhornKnopp, cross_entropy, cross_view_local
from poa_mm.models.poa import take_patches
from poa_mm.registry import MODELS

TEMPERATURE = 0.1


class Differentiable:
    """Calls a function forwards and backwards.

    Args:
        function: Without arguments, gives one tensor.
        inputs: What the gradient is of; those that are no parameters become leaves.
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


@dataclass(frozen=True)
class Part:
    """One change.

    Attributes:
        name: What was changed, on what size.
        build: Makes the slow and the fast version.
        sizes: Arguments of ``build`` for measuring.
        small: Arguments for testing.
    """

    name: str
    build: Callable[..., tuple[Callable, Callable]]
    sizes: tuple
    small: tuple

    def versions(self, small: bool = False) -> tuple[Callable, Callable]:
        """Slow and fast version, with the same inputs."""
        torch.manual_seed(0)
        return self.build(*(self.small if small else self.sizes))


def vit(width: int, depth: int, **kwargs) -> torch.nn.Module:
    cfg = dict(type='poa_mm.ElasticVisionTransformer', img_size=96, patch_size=12, widths=(width, width, 32))
    return MODELS.build({**cfg, 'depths': (depth, depth), 'head_dim': 32, **kwargs}).train()


def swin(width: int, depth: int) -> torch.nn.Module:
    widths, depths = (width, width, 16), (depth, depth)
    return MODELS.build(dict(type='poa_mm.ElasticSwinTransformer', widths=widths, depths=depths)).train()


def joined_crops(make, width, depth, images, sizes):
    """Global and local crops in one pass, against a pass for each."""
    backbone = make(width, depth)
    crops = [torch.randn(n * images, 3, size, size) for n, size in zip((2, 8), sizes)]
    weights = list(backbone.parameters())

    def features(outputs):
        return torch.cat([image for image, _ in outputs])

    separate = Differentiable(lambda: features([backbone([c])[0] for c in crops]), weights)
    return separate, Differentiable(lambda: features(backbone(crops)), weights)


def drop_path(images, width, rate):
    """Residual branches of the kept samples only, against all samples and a mask."""
    shapes = [(2 * images, 197), (8 * images, 37)]
    ffn = ElasticFFN(width, 4 * width, 0, True)
    x = torch.randn(sum(n * length for n, length in shapes), width)

    def masked():
        torch.manual_seed(0)
        factors = []
        for n, length in shapes:
            kept = torch.randperm(n)[: int(n * (1 - rate))]
            factors.append(torch.zeros(n).index_fill(0, kept, n / len(kept)).repeat_interleave(length))
        return x + ffn(x) * torch.cat(factors).unsqueeze(1)

    def subset():
        torch.manual_seed(0)
        return add_residual(x, shapes, lambda x, _: ffn(x), rate)

    inputs = [x, *ffn.parameters()]
    return Differentiable(masked, inputs), Differentiable(subset, inputs)


def scaled_slice(tokens, size, full, scaled_weight):
    """The scale as an argument of the product, against activations or the whole weight multiplied by it."""
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
    qkv = [torch.randn(n, heads, length, dim, dtype=dtype) for _ in range(3)]
    return Differentiable(lambda: F.scaled_dot_product_attention(*qkv), qkv), Differentiable(lambda: attend(*qkv), qkv)


def masked_patches(n, length, dim):
    """``index_select``, against indexing."""
    x, index = torch.randn(n, length, dim), torch.randperm(n * length)[: n * length // 3].sort().values
    slow = Differentiable(lambda: x.flatten(0, 1)[index], [x])
    return slow, Differentiable(lambda: take_patches(x, index), [x])


def sinkhorn(rows, prototypes):
    """Factors of rows and columns, against a matrix that is rewritten."""
    logits, balance = torch.randn(rows, prototypes).clamp(-1, 1), SinkhornKnopp()

    def matrix():
        q = (logits / 0.04).exp().T
        q = q / q.sum()
        for _ in range(3):
            q = q / q.sum(1, keepdim=True) / prototypes
            q = q / q.sum(0, keepdim=True) / rows
        return [(q * rows).T]

    return matrix, lambda: balance([logits], 0.04)


def plain_cross_entropy(targets, logits):
    return -(targets * (logits.float() / TEMPERATURE).log_softmax(-1)).sum(-1)


def chunked_cross_entropy(rows, prototypes, dtype):
    """A softmax that is computed again in the backward pass, against one that is kept."""
    targets, logits = torch.randn(rows, prototypes).softmax(-1), torch.randn(rows, prototypes).to(dtype)
    slow = Differentiable(lambda: plain_cross_entropy(targets, logits), [logits])
    return slow, Differentiable(lambda: cross_entropy(targets, logits, TEMPERATURE), [logits])


def local_crops(images, crops, prototypes):
    """Targets of both global crops summed first, against every pair of a global and a local crop."""
    targets = torch.randn(2 * images, prototypes).softmax(-1)
    logits = torch.randn(crops * images, prototypes)

    def pairs():
        parts = [plain_cross_entropy(t, s).mean() for t in targets.chunk(2) for s in logits.chunk(crops)]
        return torch.stack(parts).sum()[None]

    summed = Differentiable(lambda: cross_view_local(targets, logits, TEMPERATURE)[None], [logits])
    return Differentiable(pairs, [logits]), summed


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


def adamw(layers, width):
    """Fused AdamW, against a loop over tensors and operations."""
    start, grads = parameters(layers, width), parameters(layers, width)

    def version(**kwargs):
        params = [torch.nn.Parameter(p.clone()) for p in start]
        for param, grad in zip(params, grads):
            param.grad = grad
        optimizer = torch.optim.AdamW(params, 1e-3, **kwargs)

        def step():
            optimizer.step()
            return [param.detach() for param in params]

        return step

    return version(fused=False, foreach=False), version(fused=True)


def checkpointing(width, depth, images):
    """Activations computed again, against kept: costs time and saves memory."""
    backbones = [vit(width, depth, with_cp=with_cp) for with_cp in (False, True)]
    backbones[1].load_state_dict(backbones[0].state_dict())
    x = torch.randn(images, 3, 96, 96)

    def version(backbone):
        return Differentiable(lambda: backbone([x])[0][0], list(backbone.parameters()))

    return version(backbones[0]), version(backbones[1])


VIT, SWIN, FP32, BF16 = vit, swin, torch.float, torch.bfloat16
PARTS = [
    Part('one pass, 4 images, ViT 192x4', joined_crops, (VIT, 192, 4, 4, (96, 48)), (VIT, 32, 2, 2, (24, 12))),
    Part('one pass, 1 image, ViT 192x4', joined_crops, (VIT, 192, 4, 1, (96, 48)), (VIT, 32, 1, 1, (24, 12))),
    Part('one pass, 1 image, Swin 48x2', joined_crops, (SWIN, 48, 2, 1, (128, 64)), (SWIN, 16, 1, 1, (64, 32))),
    Part('drop path 0.2 on a subset, FFN of 384', drop_path, (4, 384, 0.2), (3, 8, 0.2)),
    Part('scale not on activations, 4096 x 512 of 1024', scaled_slice, (4096, 512, 1024, False), (9, 8, 16, False)),
    Part('scale not on the whole weight, 512 x 512 of 1024', scaled_slice, (512, 512, 1024, True), (9, 8, 16, True)),
    Part('qkv slices as views, 2048 x 512 of 1024', sliced_qkv, (2048, 512, 1024), (9, 8, 16)),
    Part('attention, bf16, (64, 6, 65, 32)', attention, (64, 6, 65, 32, BF16), (2, 2, 5, 8, BF16)),
    Part('attention, bf16, (128, 6, 17, 32)', attention, (128, 6, 17, 32, BF16), (2, 1, 7, 4, BF16)),
    Part('attention, bf16, (16, 6, 197, 64)', attention, (16, 6, 197, 64, BF16), (1, 2, 9, 4, BF16)),
    Part('masked patches by index_select, (32, 196, 384)', masked_patches, (32, 196, 384), (3, 9, 4)),
    Part('prototypes normed once, 2 x 200 x 16384', weight_norm, (200, 256, 16384), (5, 8, 12)),
    Part('Sinkhorn-Knopp by factors, 128 x 16384', sinkhorn, (128, 16384), (6, 20)),
    Part('cross-entropy in chunks, 200 x 16384', chunked_cross_entropy, (200, 16384, FP32), (5, 20, FP32)),
    Part('cross-entropy in chunks, 200 x 2048', chunked_cross_entropy, (200, 2048, FP32), (6, 10, FP32)),
    Part('cross-entropy in chunks, bf16, 200 x 16384', chunked_cross_entropy, (200, 16384, BF16), (5, 20, BF16)),
    Part('targets summed, 8 local crops, 8 images x 16384', local_crops, (8, 8, 16384), (3, 2, 20)),
    Part('AdamW fused, 8 layers of 384', adamw, (8, 384), (2, 8)),
    Part('teacher in one call, 8 layers of 384', teacher_update, (8, 384), (2, 8)),
    Part('teacher in one call, 24 layers of 32', teacher_update, (24, 32), (1, 8)),
    Part('activations computed again, ViT 192x4', checkpointing, (192, 4, 8), (32, 2, 2)),
]

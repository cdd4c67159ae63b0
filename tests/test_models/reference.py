"""POA's step written a second time, in plain PyTorch: loops, whole matrices, weights cut by hand.

Nothing here is shared with the package. ``params`` maps names to leaf tensors.
"""

import math

import torch
import torch.nn.functional as F


def blocks_of(depth, max_depth):
    return [math.floor((max_depth - 1) * j / (depth - 1)) for j in range(depth)]


def vit(params, images, masks, width, depth, *, patch, head_dim, max_width, max_depth, prefix=''):
    """Class token (N, D) and patch tokens (N, P, D) of the sub-network ``width x depth``."""
    p = {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}
    d, full = width, max_width
    a = full / d
    x = F.conv2d(images, p['patch_embed.projection.weight'][:d], p['patch_embed.projection.bias'][:d], patch)
    n, _, rows, cols = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, rows * cols, d)
    if masks is not None:
        x = x.clone()
        for i in range(n):
            for j in range(rows * cols):
                if masks[i, j]:
                    x[i, j] = p['mask_token'][0, :d]
    side = int((p['pos_embed'].shape[1] - 1) ** 0.5)
    positions = p['pos_embed'][0, 1:, :d].T.reshape(1, d, side, side)
    if (rows, cols) != (side, side):
        positions = F.interpolate(positions, size=(rows, cols), mode='bicubic', align_corners=False)
    x = x + positions.reshape(d, rows * cols).T
    token = (p['cls_token'][0, :, :d] + p['pos_embed'][0, :1, :d]).expand(n, 1, d)
    x = torch.cat([token, x], 1)

    def norm(x, name):
        mean = x.mean(-1, keepdim=True)
        var = x.var(-1, unbiased=False, keepdim=True)
        return (x - mean) / (var + 1e-6).sqrt() * p[f'{name}.weight'][:d] + p[f'{name}.bias'][:d]

    for k in blocks_of(depth, max_depth):
        b = f'layers.{k}.'
        y = norm(x, b + 'ln1')
        w, bias = p[b + 'attn.qkv.weight'], p[b + 'attn.qkv.bias']
        q, key, v = (a * (y @ w[g * full : g * full + d, :d].T) + bias[g * full : g * full + d] for g in range(3))
        heads = []
        for h in range(d // head_dim):
            part = slice(h * head_dim, (h + 1) * head_dim)
            attention = (q[..., part] @ key[..., part].transpose(1, 2) / head_dim**0.5).softmax(-1)
            heads.append(attention @ v[..., part])
        y = torch.cat(heads, -1)
        y = a * (y @ p[b + 'attn.proj.weight'][:d, :d].T) + p[b + 'attn.proj.bias'][:d]
        x = x + y * p[b + 'attn.gamma1.weight'][:d]
        y = norm(x, b + 'ln2')
        y = a * (y @ p[b + 'ffn.layers.0.0.weight'][: 4 * d, :d].T) + p[b + 'ffn.layers.0.0.bias'][: 4 * d]
        y = F.gelu(y)
        y = a * (y @ p[b + 'ffn.layers.1.weight'][:d, : 4 * d].T) + p[b + 'ffn.layers.1.bias'][:d]
        x = x + y * p[b + 'ffn.gamma2.weight'][:d]
    x = norm(x, 'ln1')
    return x[:, 0], x[:, 1:]


def head(params, x, max_width, prefix):
    """Logits (N, K) of one prototype head."""
    p = {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}
    d = x.shape[1]
    x = F.gelu(max_width / d * (x @ p['mlp.0.weight'][:, :d].T) + p['mlp.0.bias'])
    x = F.gelu(x @ p['mlp.2.weight'].T + p['mlp.2.bias'])
    x = x @ p['mlp.4.weight'].T + p['mlp.4.bias']
    x = x / x.norm(dim=1, keepdim=True)
    v = p['last_layer.weight_v']
    return x @ (p['last_layer.weight_g'] * v / v.norm(dim=1, keepdim=True)).T


def sinkhorn(logits, temp):
    """The matrix form."""
    q = (logits.double() / temp).exp().T
    q = q / q.sum()
    k, b = q.shape
    for _ in range(3):
        q = q / q.sum(1, keepdim=True) / k
        q = q / q.sum(0, keepdim=True) / b
    return (q * b).T.to(logits.dtype)


def entropy(p, s):
    """H(p, softmax(s / 0.1)) of every sample."""
    return -(p * (s / 0.1).log_softmax(-1)).sum(-1)


def koleo(features):
    z = features / features.norm(dim=1, keepdim=True)
    total = 0
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        nearest = max(others, key=lambda j: float(z[i] @ z[j]))
        total = total - ((z[i] - z[nearest]).norm() + 1e-8).log()
    return total / len(z)


def cross_view(targets, patch_targets, outputs, masks, num_images, num_local):
    """G, C, P of one student and one head."""
    t = targets.split(num_images)
    g, loc, patches = outputs
    g, loc = g.split(num_images), loc.split(num_images)
    terms = 2 + 2 * num_local
    glob = (entropy(t[0], g[1]).mean() + entropy(t[1], g[0]).mean()) / terms
    local = sum(entropy(t[a], loc[i]).mean() for a in range(2) for i in range(num_local)) / terms
    if masks is None:
        return glob, local, None
    patch, start = 0, 0
    for crop in range(2 * num_images):
        count = int(masks[crop].sum())
        if count:
            part = slice(start, start + count)
            patch = patch + entropy(patch_targets[part], patches[part]).mean()
        start += count
    return glob, local, patch / (2 * num_images)


def step(student, teacher, crops, masks, sizes, temp, num_heads, run, lam=0.8):
    """All components of POA with intact and elastic student; ``run(params, images, masks, width, depth)``."""
    globals_, locals_ = crops
    num_images = len(globals_) // 2
    num_local = len(locals_) // num_images
    max_width = sizes['intact'][0]
    flat = masks.flatten() if masks is not None else None

    def logits(params, size, i, with_local, masked):
        cls, patches = run(params, globals_, masks if masked else None, *size)
        name = f'head.heads.{i}.'
        out = [head(params, cls, max_width, name), None, None]
        if with_local:
            out[1] = head(params, run(params, locals_, None, *size)[0], max_width, name)
        if masks is not None:
            out[2] = head(params, patches.flatten(0, 1)[flat], max_width, name)
        return cls, out

    result, total = {}, 0
    for i in range(num_heads):
        with torch.no_grad():
            _, t = logits(teacher, sizes['intact'], i, False, False)
            targets = sinkhorn(t[0], temp)
            patch_targets = sinkhorn(t[2], temp) if masks is not None else None
        features, out = {}, {}
        for name in ('intact', 'elastic'):
            features[name], out[name] = logits(student, sizes[name], i, True, True)
            parts = cross_view(targets, patch_targets, out[name], masks, num_images, num_local)
            weight = lam if name == 'intact' else 1 - lam
            for term, value in zip(('global', 'local', 'patch'), parts):
                if value is not None:
                    result.setdefault(f'{name}_{term}', []).append(value)
                    total = total + weight * value / num_heads
        same = 0
        for k in (0, 1):
            p = (out['intact'][k].detach() / 0.1).softmax(-1)
            same = same + entropy(p, out['elastic'][k]).mean()
        result.setdefault('same_view', []).append(same)
        total = total + (1 - lam) * same / num_heads
    for name in ('intact', 'elastic'):
        first, second = features[name].split(num_images)
        result[f'{name}_koleo'] = koleo(first) + koleo(second)
        total = total + 0.1 * result[f'{name}_koleo'] / 2
    result = {name: torch.stack(value) if isinstance(value, list) else value for name, value in result.items()}
    return {**result, 'loss': total}

"""Elastic Swin and ResNet written a second time, as ``reference.py`` does for ViT: loops, weights cut by hand."""

import math

import torch
import torch.nn.functional as F


def blocks_of(depth, max_depth):
    return [math.floor((max_depth - 1) * j / (depth - 1)) for j in range(depth)] if depth > 1 else [0]


def put_mask_token(x, masks, token, cell):
    """``x`` (N, H, W, D) with the token wherever the cell is masked."""
    x = x.clone()
    n, rows, columns, _ = x.shape
    for i in range(n):
        for r in range(rows):
            for c in range(columns):
                if masks[i, (r // cell) * (columns // cell) + c // cell]:
                    x[i, r, c] = token
    return x


def every_cell(x, times):
    """Tokens (N, P, D) of all mask cells from the last map (N, H, W, D)."""
    rows, columns = x.shape[1:3]
    tokens = [x[:, r // times, c // times] for r in range(rows * times) for c in range(columns * times)]
    return torch.stack(tokens, 1)


def swin(params, images, masks, subnet, *, max_width, max_depths, elastic, window, head_dim, cell, prefix=''):
    """Image feature (N, D) and cell features (N, P, D) of the sub-network ``subnet = (width, depth)``."""
    p = {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}
    width, depth = subnet
    a = max_width / width

    def norm(x, name):
        d = x.shape[-1]
        mean, var = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
        return (x - mean) / (var + 1e-5).sqrt() * p[f'{name}.weight'][:d] + p[f'{name}.bias'][:d]

    def attention(x, name, shift):
        n, rows, columns, d = x.shape
        full = p[name + 'proj.bias'].shape[0]
        padded = torch.zeros(n, -(-rows // window) * window, -(-columns // window) * window, d)
        padded[:, :rows, :columns] = x
        padded = padded.roll((-shift, -shift), (1, 2))
        _, height, breadth, _ = padded.shape
        w, b, table = p[name + 'qkv.weight'], p[name + 'qkv.bias'], p[name + 'relative_position_bias_table']
        out = torch.zeros_like(padded)
        for top in range(0, height, window):
            for left in range(0, breadth, window):
                places = [(r, c) for r in range(top, top + window) for c in range(left, left + window)]
                tokens = padded[:, top : top + window, left : left + window].reshape(n, -1, d)
                q, k, v = (
                    a * (tokens @ w[g * full : g * full + d, :d].T) + b[g * full : g * full + d] for g in range(3)
                )
                bias = torch.stack(
                    [
                        torch.stack(
                            [table[(r - s + window - 1) * (2 * window - 1) + c - t + window - 1] for s, t in places]
                        )
                        for r, c in places
                    ]
                )
                wrapped = [(r >= height - shift, c >= breadth - shift) for r, c in places]
                apart = torch.tensor([[one != other for other in wrapped] for one in wrapped])
                heads = []
                for h in range(d // head_dim):
                    part = slice(h * head_dim, (h + 1) * head_dim)
                    scores = q[..., part] @ k[..., part].transpose(1, 2) / head_dim**0.5 + bias[..., h]
                    heads.append(scores.masked_fill(apart, -math.inf).softmax(-1) @ v[..., part])
                out[:, top : top + window, left : left + window] = torch.cat(heads, -1).view(n, window, window, d)
        out = out.roll((shift, shift), (1, 2))[:, :rows, :columns]
        return a * (out @ p[name + 'proj.weight'][:d, :d].T) + p[name + 'proj.bias'][:d]

    conv = (p['patch_embed.projection.weight'][:width], p['patch_embed.projection.bias'][:width])
    x = norm(F.conv2d(images, *conv, stride=4).permute(0, 2, 3, 1), 'patch_embed.norm')
    if masks is not None:
        x = put_mask_token(x, masks, p['mask_token'][0, :width], cell // 4)
    for stage, max_depth in enumerate(max_depths):
        d = width * 2**stage
        active = blocks_of(depth if stage == elastic else max_depth, max_depth)
        for position, block in enumerate(active):
            name = f'stages.{stage}.blocks.{block}.'
            x = x + attention(norm(x, name + 'norm1'), name + 'attn.w_msa.', position % 2 * (window // 2))
            y = norm(x, name + 'norm2')
            w, b = p[name + 'ffn.layers.0.0.weight'], p[name + 'ffn.layers.0.0.bias']
            y = F.gelu(a * (y @ w[: 4 * d, :d].T) + b[: 4 * d])
            w, b = p[name + 'ffn.layers.1.weight'], p[name + 'ffn.layers.1.bias']
            x = x + a * (y @ w[:d, : 4 * d].T) + b[:d]
        if stage + 1 < len(max_depths):
            neighbours = torch.stack([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1).flatten(-2)
            y = norm(neighbours, f'stages.{stage}.downsample.norm')
            x = a * (y @ p[f'stages.{stage}.downsample.reduction.weight'][: 2 * d, : 4 * d].T)
    x = norm(x, f'norm{len(max_depths) - 1}')
    return x.mean((1, 2)), every_cell(x, 4 * 2 ** (len(max_depths) - 1) // cell)


def resnet(params, images, masks, subnet, *, max_width, max_depths, groups, cell, prefix=''):
    """Image feature (N, D) and cell features (N, P, D) of the sub-network ``subnet = (width, depths)``."""
    p = {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}
    width, depths = subnet
    a = max_width / width

    def norm(x, name):
        channels = x.shape[1]
        y = x.reshape(len(x), groups, -1)
        y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        weight, bias = (p[f'{name}.{kind}'][:channels, None, None] for kind in ('weight', 'bias'))
        return y.reshape(x.shape) * weight + bias

    x = norm(F.conv2d(images, p['conv1.weight'], stride=2, padding=3), 'gn1').relu()
    x = F.max_pool2d(x, 3, 2, 1)
    if masks is not None:
        x = put_mask_token(x.permute(0, 2, 3, 1), masks, p['mask_token'][0], cell // 4).permute(0, 3, 1, 2)
    for stage, max_depth in enumerate(max_depths):
        mid = width * 2**stage
        for block in blocks_of(depths[stage], max_depth):
            name = f'layer{stage + 1}.{block}.'
            stride = 2 if stage and not block else 1
            y = norm(F.conv2d(x, p[name + 'conv1.weight'][:mid]), name + 'gn1').relu()
            y = a * F.conv2d(y, p[name + 'conv2.weight'][:mid, :mid], stride=stride, padding=1)
            y = norm(y, name + 'gn2').relu()
            y = norm(a * F.conv2d(y, p[name + 'conv3.weight'][:, :mid]), name + 'gn3')
            if not block:
                x = F.conv2d(x, p[name + 'downsample.0.weight'], stride=stride)
                x = norm(x, name + 'downsample.1')
            x = (x + y).relu()
    x = x.permute(0, 2, 3, 1)
    return x.mean((1, 2)), every_cell(x, 4 * 2 ** (len(max_depths) - 1) // cell)

"""The parameter names of other libraries, and what they are called here (mmpretrain's names)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from poa_mm.errors import UserError

Rename = tuple[str, str | Callable[[re.Match], str]]


class Source(NamedTuple):
    """One kind of network of one library.

    Args:
        library: For messages.
        family: The family of elastic backbones that it fits.
        mark: Pattern of a name that every such network has; what precedes it is the prefix of all its names.
        renames: Patterns and replacements, applied to every name in this order. Queries, keys and values that are
            separate become ``qkv.query`` and so on; the norm after the last stage is ``norm_last``.
        also: A second name that distinguishes it from a library with the same names.
        unused: Pattern of names that the backbone does not need.
        options: Arguments of the elastic backbone that all its networks share, where the weights do not show them.
        antialias: Whether it resizes positions with antialiasing; with registers all do.
        offset: What it adds to the target size when it resizes positions; nothing with registers.
        original_merging: Whether Swin's patch merging orders its inputs neighbour by neighbour, as the original.
    """

    library: str
    family: str
    mark: str
    renames: tuple[Rename, ...] = ()
    also: str | None = None
    unused: str = r'(?!)'
    options: Mapping[str, Any] = {}
    antialias: bool = False
    offset: float = 0.0
    original_merging: bool = False


def _torchvision_swin(match: re.Match) -> str:
    """``features.1`` is the first stage, ``features.2`` what follows it, and so on."""
    stage, between = divmod(int(match[1]) - 1, 2)
    return f'stages.{stage}.{"downsample" if between else "blocks"}.'


def _next_stage_downsample(match: re.Match) -> str:
    return f'stages.{int(match[1]) - 1}.downsample.'


MLP = ((r'\.mlp\.fc1\.', '.ffn.layers.0.0.'), (r'\.mlp\.fc2\.', '.ffn.layers.1.'))
DENSE = ((r'\.intermediate\.dense\.', '.ffn.layers.0.0.'), (r'\.output\.dense\.', '.ffn.layers.1.'))
PATCHES = (r'^embeddings\.patch_embeddings\.projection\.', 'patch_embed.projection.')
HEADS = r'(head|heads|head_dist|head_drop|fc|classifier)\..*'

VIT_BLOCKS = (
    (r'^patch_embed\.proj\.', 'patch_embed.projection.'),
    (r'^blocks\.(?:\d+\.)?(\d+)\.', r'layers.\1.'),  # FSDP training of DINOv2 puts blocks into chunks
    (r'\.norm([12])\.', r'.ln\1.'),
    (r'\.ls1\.gamma$', '.attn.gamma1.weight'),
    (r'\.ls2\.gamma$', '.ffn.gamma2.weight'),
    *MLP,
    (r'\.mlp\.(w12|w3)\.', r'.ffn.\1.'),
    (r'^norm\.', 'ln1.'),
    (r'^reg_token$', 'register_tokens'),
)
TRANSFORMERS_VIT = (
    (r'^embeddings\.(cls_token|mask_token|register_tokens)$', r'\1'),
    (r'^embeddings\.position_embeddings$', 'pos_embed'),
    PATCHES,
    (r'^encoder\.layer\.(\d+)\.', r'layers.\1.'),
    (r'\.(?:norm1|layernorm_before)\.', '.ln1.'),
    (r'\.(?:norm2|layernorm_after)\.', '.ln2.'),
    (r'\.attention\.attention\.(query|key|value)\.', r'.attn.qkv.\1.'),
    (r'\.attention\.output\.dense\.', '.attn.proj.'),
    (r'\.layer_scale1\.lambda1$', '.attn.gamma1.weight'),
    (r'\.layer_scale2\.lambda1$', '.ffn.gamma2.weight'),
    *MLP,
    *DENSE,
    (r'\.mlp\.weights_in\.', '.ffn.w12.'),
    (r'\.mlp\.weights_out\.', '.ffn.w3.'),
    (r'^layernorm\.', 'ln1.'),
)
SWIN_BLOCKS = (
    (r'^patch_embed\.proj\.', 'patch_embed.projection.'),
    (r'\.attn\.', '.attn.w_msa.'),
    *MLP,
    (r'\.mlp\.0\.', '.ffn.layers.0.0.'),
    (r'\.mlp\.3\.', '.ffn.layers.1.'),
    (r'^norm\.', 'norm_last.'),
)
STAGES = (r'^layers\.(\d+)\.', r'stages.\1.')

# The first one whose mark occurs is taken, so the marks that contain another come before it.
SOURCES = (
    Source('mmpretrain or poa_mm', 'SwinTransformer', r'stages\.0\.blocks\.0\.attn\.w_msa\.qkv\.weight'),
    Source('mmpretrain or poa_mm', 'VisionTransformer', r'layers\.0\.ln1\.weight', options=dict(ln_eps=1e-6)),
    Source('mmpretrain or poa_mm', 'ResNet', r'layer1\.0\.gn1\.weight'),
    Source(
        'transformers',
        'SwinTransformer',
        r'encoder\.layers\.0\.blocks\.0\.layernorm_before\.weight',
        (
            PATCHES,
            (r'^embeddings\.norm\.', 'patch_embed.norm.'),
            (r'^encoder\.layers\.(\d+)\.', r'stages.\1.'),
            (r'\.layernorm_before\.', '.norm1.'),
            (r'\.layernorm_after\.', '.norm2.'),
            (r'\.attention\.self\.(query|key|value)\.', r'.attn.w_msa.qkv.\1.'),
            (r'\.attention\.self\.relative', '.attn.w_msa.relative'),
            (r'\.attention\.output\.dense\.', '.attn.w_msa.proj.'),
            *DENSE,
            (r'^layernorm\.', 'norm_last.'),
            (r'^embeddings\.mask_token$', 'mask_token'),
        ),
        unused=r'pooler\..*',
        original_merging=True,
    ),
    Source(
        'the original Swin',
        'SwinTransformer',
        r'layers\.0\.downsample\.reduction\.weight',
        (STAGES, *SWIN_BLOCKS),
        unused=HEADS,
        original_merging=True,
    ),
    Source(
        'timm',
        'SwinTransformer',
        r'layers\.0\.blocks\.0\.attn\.qkv\.weight',
        ((r'^layers\.(\d+)\.downsample\.', _next_stage_downsample), STAGES, *SWIN_BLOCKS),
        unused=HEADS,
        original_merging=True,
    ),
    Source(
        'torchvision',
        'SwinTransformer',
        r'features\.1\.0\.attn\.qkv\.weight',
        (
            (r'^features\.0\.0\.', 'patch_embed.projection.'),
            (r'^features\.0\.2\.', 'patch_embed.norm.'),
            (r'^features\.(\d+)\.', _torchvision_swin),
            *SWIN_BLOCKS,
        ),
        unused=HEADS,
        original_merging=True,
    ),
    Source(
        'torchvision',
        'VisionTransformer',
        r'encoder\.layers\.encoder_layer_0\.ln_1\.weight',
        (
            (r'^class_token$', 'cls_token'),
            (r'^encoder\.pos_embedding$', 'pos_embed'),
            (r'^conv_proj\.', 'patch_embed.projection.'),
            (r'^encoder\.layers\.encoder_layer_(\d+)\.', r'layers.\1.'),
            (r'\.ln_([12])\.', r'.ln\1.'),
            (r'\.self_attention\.in_proj_', '.attn.qkv.'),
            (r'\.self_attention\.out_proj\.', '.attn.proj.'),
            (r'\.mlp\.(?:0|linear_1)\.', '.ffn.layers.0.0.'),
            (r'\.mlp\.(?:3|linear_2)\.', '.ffn.layers.1.'),
            (r'^encoder\.ln\.', 'ln1.'),
        ),
        unused=HEADS,
        options=dict(ln_eps=1e-6),
    ),
    Source(
        'transformers (ViT)',
        'VisionTransformer',
        r'encoder\.layer\.0\.layernorm_before\.weight',
        TRANSFORMERS_VIT,
        unused=r'pooler\..*',
        options=dict(ln_eps=1e-12),
    ),
    Source(
        'transformers (Dinov2)',
        'VisionTransformer',
        r'encoder\.layer\.0\.norm1\.weight',
        TRANSFORMERS_VIT,
        options=dict(ln_eps=1e-6, head_dim=64),
    ),
    Source(
        'DINOv2',
        'VisionTransformer',
        r'blocks\.(?:0\.)?0\.norm1\.weight',
        VIT_BLOCKS,
        also='mask_token',  # timm leaves it out
        unused=HEADS,
        options=dict(ln_eps=1e-6, head_dim=64),
        offset=0.1,
    ),
    Source(
        'timm',
        'VisionTransformer',
        r'blocks\.(?:0\.)?0\.norm1\.weight',
        VIT_BLOCKS,
        unused=HEADS,
        options=dict(ln_eps=1e-6),
        antialias=True,
    ),
    Source('timm or torchvision', 'ResNet', r'layer1\.0\.bn1\.weight', ((r'\bbn(\d)\.', r'gn\1.'),), unused=HEADS),
)


def recognise(names: Iterable[str], branch: str | None = None) -> tuple[Source, str]:
    """The source that has these names, and the prefix of its backbone's.

    Args:
        names: Of all weights of a file.
        branch: ``'teacher'`` or ``'student'``; ``None`` is the teacher where a file holds both.

    Raises:
        UserError: If the names are of no known source, or of several networks, or the file lacks the branch.
    """
    names = list(names)
    for source in SOURCES:
        pattern = re.compile(r'((?:.*\.)?)' + source.mark)
        prefixes = sorted({match[1] for name in names if (match := pattern.fullmatch(name))})
        prefixes = [p for p in prefixes if source.also is None or p + source.also in names]
        if not prefixes:
            continue
        if branch or len(prefixes) > 1:
            wanted = [p for p in prefixes if ('teacher' in p) == (branch != 'student')]
            shown = ', '.join(map(repr, prefixes))
            if branch and not wanted:
                raise UserError(f'the file has no {branch}: its network has the prefix {shown}')
            if len(wanted) != 1:
                raise UserError(f'the file holds several networks, with the prefixes {shown}')
            prefixes = wanted
        return source, prefixes[0]
    raise UserError(
        f'the names of the weights ({", ".join(names[:3])}, ...) are of no known network; known are '
        + ', '.join(dict.fromkeys(f'{s.family} of {s.library}' for s in SOURCES))
    )


def plain_name(name: str) -> str:
    """A name without the wrapper that the authors' program puts around elastic layers (``qkv.linear.weight``)."""
    name = re.sub(r'\.linear\.(weight|bias)$', r'.\1', name)
    return re.sub(r'((?:^|\.)norm\d*)\.norm\.(weight|bias)$', r'\1.\2', name)


def renamed(name: str, source: Source) -> str:
    """What a weight of a source, without its prefix, is called here."""
    for pattern, replacement in source.renames:
        name = re.sub(pattern, replacement, name)
    return name

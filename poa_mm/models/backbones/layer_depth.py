"""Layer ids for layer-wise learning rates, the same for one network whichever toolbox it sits in.

mmdet's and mmseg's backbones do not say their ids, and mmpretrain's ResNet says others than POA's program. All have
the same parameter names, which tell everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


class Family(NamedTuple):
    """What the parameter names of a family look like.

    Args:
        marks: What some name holds, each of them, in this family only.
        block: A block's parameters: the stage, empty where there is only one, and the number within it.
        before: The beginnings of what comes before the first block; all else that is in no block follows the last.
        has_top: Whether what follows the blocks has an id of its own, one above the last block's.
    """

    marks: tuple[str, ...]
    block: str
    before: str
    has_top: bool


FAMILIES = (
    Family(
        marks=('pos_embed', 'layers.0.ln1.'),
        block=r'()layers\.(\d+)\.',
        before='cls_token|pos_embed|mask_token|patch_embed|pre_norm',
        has_top=True,
    ),
    Family(
        marks=('stages.0.blocks.0.', '.relative_position_bias_table'),
        block=r'stages\.(\d+)\.blocks\.(\d+)\.',
        before='mask_token|patch_embed|absolute_pos_embed',
        has_top=True,
    ),
    Family(marks=('layer1.0.conv1.',), block=r'layer(\d+)\.(\d+)\.', before='', has_top=False),
)


class LayerDepths:
    """Ids of the layers of a ViT, Swin or ResNet (POA's program).

    Tokens, positions, patch embedding and stem are 0; block ``k`` of all stages is ``k + 1``, with its downsample
    branch in a ResNet; a Swin's downsampling layer goes with the next stage's first block. The final and output
    norms of a ViT and a Swin are one above the last block.

    Args:
        family: The family.
        names: Of all parameters of the network.
    """

    def __init__(self, family: Family, names: Iterable[str]) -> None:
        self.family = family
        blocks = sorted({self._block(name) for name in names} - {None})
        self.ids = {block: i + 1 for i, block in enumerate(blocks)}
        self.num_layers = len(blocks) + 1 + family.has_top

    def __call__(self, name: str, prefix: str = '') -> tuple[int, int]:
        """The id of a parameter and the number of layers, as mmpretrain's ``get_layer_depth`` gives them.

        What does not begin with ``prefix`` follows the backbone and has the highest id.
        """
        top = self.num_layers - 1
        if not name.startswith(prefix):
            return top, self.num_layers
        name = name.removeprefix(prefix)
        block = self._block(name)
        if block is not None:
            return self.ids[block], self.num_layers
        return (0 if re.match(self.family.before, name) else top), self.num_layers

    def _block(self, name: str) -> tuple[int, int] | None:
        match = re.match(self.family.block, name)
        if match:
            return int(match[1] or 0), int(match[2])
        merging = re.match(r'stages\.(\d+)\.downsample\.', name)
        return (int(merging[1]) + 1, 0) if merging else None


def find_layer_depths(names: Iterable[str]) -> LayerDepths | None:
    """The ids of a network with these parameters; ``None`` if it is no ViT, Swin or ResNet as named by mmpretrain."""
    names = list(names)
    for family in FAMILIES:
        if all(any(mark in name for name in names) for mark in family.marks):
            return LayerDepths(family, names)
    return None

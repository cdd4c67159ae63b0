"""Layer ids for layer-wise learning rates, read from parameter names.

mmdet's and mmseg's backbones have no layer ids, and mmpretrain's ResNet has other ones than POA's program. The
parameter names are the same in all toolboxes, so a network has the same ids in each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


class LayerNames(NamedTuple):
    """What the parameter names of a family look like.

    Args:
        marks: Parts of names by which the family is recognised: each occurs in some name, and all of them in no
            other family.
        block: Pattern of a block's parameters. Its groups are the stage, empty if there is only one, and the number
            of the block in it.
        before: Pattern of what comes before the first block. Everything else outside the blocks follows the last one.
        has_top: Whether what follows the blocks has an id of its own, one above the last block's.
        downsample: Pattern of what leads from one stage to the next; its group is a number that counts the stages.
            It has the id of the first block of the stage that it leads to.
        downsample_offset: The stage that it leads to, minus that number.
    """

    marks: tuple[str, ...]
    block: str
    before: str
    has_top: bool = True
    downsample: str | None = None
    downsample_offset: int = 0


class LayerDepths:
    """Ids of the layers of a network (POA's program).

    Tokens, positions, patch embedding and stem are 0; block ``k``, counted over all stages, is ``k + 1``; a layer
    between two stages belongs to the first block after it.

    Args:
        layer_names: Of the network's family.
        names: Of all parameters of the network.
    """

    def __init__(self, layer_names: LayerNames, names: Iterable[str]) -> None:
        self.layer_names = layer_names
        blocks = sorted({self._block(name) for name in names} - {None})
        self.ids = {block: i + 1 for i, block in enumerate(blocks)}
        self.num_layers = len(blocks) + 1 + layer_names.has_top

    def __call__(self, name: str, prefix: str = '') -> tuple[int, int]:
        """The id of a parameter and the number of layers, as mmpretrain's ``get_layer_depth`` returns them.

        A name without ``prefix`` is outside the backbone and has the highest id.
        """
        top = self.num_layers - 1
        if not name.startswith(prefix):
            return top, self.num_layers
        name = name.removeprefix(prefix)
        block = self._block(name)
        if block is not None:
            return self.ids[block], self.num_layers
        return (0 if re.match(self.layer_names.before, name) else top), self.num_layers

    def _block(self, name: str) -> tuple[int, int] | None:
        match = re.match(self.layer_names.block, name)
        if match:
            return int(match[1] or 0), int(match[2])
        if self.layer_names.downsample is None:
            return None
        match = re.match(self.layer_names.downsample, name)
        return (int(match[1]) + self.layer_names.downsample_offset, 0) if match else None

"""Labelled data sets that mmpretrain does not have."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from torch.utils.data import Dataset

from poa_mm.errors import UserError, not_found
from poa_mm.registry import DATASETS

from .reading import describe, open_dataset


@DATASETS.register_module()
class LabelFraction(Dataset):
    """A part of a labelled data set: the images of a list, or a share of each class.

    Args:
        dataset: The whole data set, or its config.
        fraction: Share of each class, drawn at random; at least one image of each. With a list, what its length is
            checked against.
        list_file: Text file with one file name per line (as SimCLR's for 1 % and 10 % of ImageNet), instead of a draw.
            The folders of a line must be those that the image lies in.
        seed: Of the draw.

    Raises:
        UserError: If neither fraction nor list is given, the fraction is not in (0, 1], the list does not exist, names
            images that the data set does not have or another share of them than the fraction, or the data set has no
            labels.
    """

    def __init__(
        self,
        dataset: Mapping | Dataset,
        fraction: float | None = None,
        list_file: str | None = None,
        seed: int = 0,
    ) -> None:
        if fraction is None and list_file is None:
            raise UserError('give fraction or list_file')
        if fraction is not None and not 0 < fraction <= 1:
            raise UserError(f'fraction must be above 0 and at most 1, got {fraction}')
        # Built here, as open_dataset looks types up without the default scope.
        self.dataset = open_dataset(DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset)
        if 'gt_label' not in self.dataset.get_data_info(0):
            raise UserError(f'the data set has no labels: {describe(self.dataset)}')
        if list_file is None:
            self.indices = self._draw(fraction, seed)
        else:
            self.indices = self._listed(Path(list_file))
            share = len(self.indices) / len(self.dataset)
            if fraction is not None and not 0.8 < share / fraction < 1.25:
                raise UserError(f'{list_file} names {share:.2%} of the images, but fraction is {fraction:g}')

    def _draw(self, fraction: float, seed: int) -> list[int]:
        of_class = defaultdict(list)
        for index in range(len(self.dataset)):
            of_class[int(self.dataset.get_data_info(index)['gt_label'])].append(index)
        chosen = []
        for label, indices in of_class.items():
            number = max(1, round(fraction * len(indices)))
            chosen += np.random.default_rng((seed, label)).permutation(indices)[:number].tolist()
        return sorted(chosen)

    def _listed(self, path: Path) -> list[int]:
        if not path.is_file():
            raise UserError(f'list {not_found(path)}')
        wanted = {Path(line.strip()).parts for line in path.read_text().splitlines() if line.strip()}
        lengths = {len(parts) for parts in wanted}
        found, indices = set(), []
        for index in range(len(self.dataset)):
            parts = Path(self.dataset.get_data_info(index)['img_path']).parts
            if ends := wanted & {parts[-length:] for length in lengths}:
                found |= ends
                indices.append(index)
        missing = sorted(str(Path(*parts)) for parts in wanted - found)
        if missing or not wanted:
            raise UserError(
                f'{path} names {len(wanted)} images, but {len(missing)} are not in the data set: {missing[:3]}'
            )
        return indices

    @property
    def metainfo(self) -> dict:
        """Meta information of the whole data set."""
        return self.dataset.metainfo

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        """An item of the whole data set."""
        return self.dataset[self.indices[index]]

    def get_data_info(self, index: int) -> dict:
        """Path and label of an image, without reading the image."""
        return self.dataset.get_data_info(self.indices[index])


@DATASETS.register_module()
class INaturalist(BaseDataset):
    """iNaturalist 2018 and 2019 by their own JSON files, in the layout in which they are distributed.

    Args:
        data_root: Folder that the image names of the file are relative to.
        ann_file: ``train2018.json``, ``val2018.json`` and the like, relative to the root.
        **kwargs: Of ``BaseDataset``.
    """

    def load_data_list(self) -> list[dict]:
        """One entry per image. Classes are numbered by the ascending ids of their categories."""
        content = json.loads(Path(self.ann_file).read_text())
        names = {category['id']: str(category.get('name', category['id'])) for category in content['categories']}
        number = {category: label for label, category in enumerate(sorted(names))}
        self._metainfo['classes'] = tuple(names[category] for category in sorted(names))
        files = {image['id']: image['file_name'] for image in content['images']}
        return [
            dict(img_path=str(Path(self.data_root, files[a['image_id']])), gt_label=number[a['category_id']])
            for a in content['annotations']
        ]

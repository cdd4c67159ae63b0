"""mmdet's COCO data set that says why nothing is left of it; imported by the configs that use it, as it needs mmdet."""

from mmdet.datasets import CocoDataset as _CocoDataset

from poa_mm.errors import UserError
from poa_mm.registry import DATASETS


@DATASETS.register_module()
class CocoDataset(_CocoDataset):
    """``mmdet.CocoDataset``, whose own error for no images at all is one of numpy's.

    What fits in part is found by :class:`poa_mm.engine.DatasetCheckHook`.

    Raises:
        UserError: No image is left after filtering.
    """

    def filter_data(self) -> list[dict]:
        """Called by the parent once the file is read."""
        kept = super().filter_data()
        if not kept:
            classes = ', '.join(repr(name) for name in self.metainfo['classes'][:5])
            raise UserError(
                f'{self.ann_file} has no image with an object of the {len(self.metainfo["classes"])} classes of its '
                f'dataset ({classes}, ...): set metainfo=dict(classes=(...)) of the dataset to the names in the file'
            )
        return kept

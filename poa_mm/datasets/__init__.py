"""Images to training batches: views, masks, order of the draws, and a generated image set."""

from .collate import multi_crop_collate
from .demo import DemoDataset
from .masks import batch_masks, block_mask
from .multi_crop import View, random_view
from .sampler import Draw, SeededInfiniteSampler
from .views import ViewsDataset

__all__ = [
    'DemoDataset',
    'Draw',
    'SeededInfiniteSampler',
    'View',
    'ViewsDataset',
    'batch_masks',
    'block_mask',
    'multi_crop_collate',
    'random_view',
]

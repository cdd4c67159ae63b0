"""Images to training batches: views, masks, order of the draws, and a generated image set."""

from .collate import multi_crop_collate
from .demo import DemoDataset
from .image_folder import ImageFolder
from .masks import batch_masks, block_mask
from .multi_crop import View, random_view
from .reading import UnreadableImageError, describe, open_class_folders, open_dataset, read_image
from .sampler import Draw, SeededInfiniteSampler
from .tar_shards import TarShards
from .views import ViewsDataset

__all__ = [
    'DemoDataset',
    'Draw',
    'ImageFolder',
    'SeededInfiniteSampler',
    'TarShards',
    'UnreadableImageError',
    'View',
    'ViewsDataset',
    'batch_masks',
    'block_mask',
    'describe',
    'multi_crop_collate',
    'open_class_folders',
    'open_dataset',
    'random_view',
    'read_image',
]

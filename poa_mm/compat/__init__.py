"""Differences between installations: nothing else in the package knows about them."""

from .config_text import format_once
from .mmcv_ops import OperatorFinder
from .on_import import ImportHook
from .quiet import QuietFinder
from .transformers import leave_out_multimodal

# What to install where a module is missing.
DISTRIBUTIONS = {
    'torch': 'torch',
    'torchvision': 'torchvision',
    'sklearn': 'scikit-learn',
    'scipy': 'scipy',
    'matplotlib': 'matplotlib',
    'PIL': 'pillow',
    'tqdm': 'tqdm',
    'yaml': 'pyyaml',
    'cv2': 'opencv-python-headless',
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmpretrain': 'onedl-mmpretrain',
    'mmdet': 'onedl-mmdetection',
    'mmseg': 'onedl-mmsegmentation',
    'tensorboard': 'tensorboard',
    'safetensors': 'safetensors',
}

__all__ = ['DISTRIBUTIONS', 'ImportHook', 'OperatorFinder', 'QuietFinder', 'format_once', 'leave_out_multimodal']

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r"__version__ = '([^']+)'", (ROOT / 'poa_mm/__init__.py').read_text()).group(1)

# OpenMMLab is an extra: onedl-* and the original mmengine, mmcv, ... install the same modules, so
# a plain `pip install poa_mm` must not write the one over the other. numpy's and matplotlib's lower
# bounds are those of the original OpenMMLab environments that still run torch 2.4.
OPENMMLAB = [
    'onedl-mmengine>=0.10.12',
    'onedl-mmcv>=2.3.6',
    'onedl-mmpretrain>=1.3.6',
    'onedl-mmdetection>=3.5.1',
    'onedl-mmsegmentation>=1.4.2',
    # The toolboxes ask for opencv-python, whose cv2 needs a desktop's libraries (see docs/install.md).
    'opencv-python-headless',
]

setup(
    name='poa_mm',
    version=VERSION,
    description='POA, Pre-training Once for Models of All Sizes (ECCV 2024), for OpenMMLab',
    license='Apache-2.0',
    packages=find_packages(include=['poa_mm', 'poa_mm.*']),
    package_data={'poa_mm.reference': ['*.json']},
    entry_points={'console_scripts': ['poa=poa_mm.commands:main']},
    python_requires='>=3.10,<3.14',
    install_requires=[
        'torch>=2.4',
        'torchvision>=0.19',
        'numpy>=1.24',
        'matplotlib>=3.6',
        'pillow>=9.1',
        'scikit-learn>=1.2',
        'scipy>=1.9',
        'tqdm',
    ],
    extras_require={
        'openmmlab': OPENMMLAB,
        'tensorboard': ['tensorboard'],
        'dev': ['pytest>=7', 'ruff>=0.6', 'packaging>=22'],
    },
)

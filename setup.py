import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = re.search(r"__version__ = '([^']+)'", (ROOT / 'poa_mm/version.py').read_text()).group(1)

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

# What `poa extract --format` writes for other libraries and runtimes.
EXPORT = [
    'timm>=1.0.16',
    'transformers>=4.50,<5',  # AutoBackbone of 5.23 asks the hub for a folder, and does not open it
    'onnx>=1.17',
    'onnxscript>=0.5',
    'onnxruntime>=1.20',
    'safetensors>=0.4',
    'huggingface_hub>=0.30',
]

# What OpenMMLab's `mim` looks for in an installed package, under `.mim`.
MIM = ('configs', 'tools', 'model-index.yml')


class BuildWithRecipes(build_py):
    """Puts configs, tools and the model index into the wheel."""

    def run(self):
        super().run()
        if self.editable_mode:
            return  # the checkout has them
        for name in MIM:
            source, target = ROOT / name, Path(self.build_lib, 'poa_mm/.mim', name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy(source, target)


setup(
    name='poa_mm',
    version=VERSION,
    description='POA, Pre-training Once for Models of All Sizes (ECCV 2024), for OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    cmdclass={'build_py': BuildWithRecipes},
    packages=find_packages(include=['poa_mm', 'poa_mm.*']),
    package_data={'poa_mm.reference': ['*.json'], 'poa_mm.reference.trajectories': ['*.json']},
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
        'pyyaml',
    ],
    extras_require={
        'openmmlab': OPENMMLAB,
        'tensorboard': ['tensorboard'],
        'export': EXPORT,
        'docs': ['sphinx>=8.1', 'myst-nb>=1.2', 'furo>=2024.8'],
        'dev': ['pytest>=7', 'pytest-xdist>=3', 'mat4py', 'ruff>=0.6', 'packaging>=22', 'build>=1', 'twine>=6'],
    },
)

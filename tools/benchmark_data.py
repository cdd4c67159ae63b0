"""Images per CPU second of the multi-crop pipeline, against PIL and torchvision, on a folder of images."""

import argparse
import sys
from pathlib import Path

import cv2
import torch

# After the installed packages, so that an installed poa_mm goes first.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks.data import benchmark_data, describe_data
from poa_mm.arguments import positive

RECIPE = Path(__file__).resolve().parents[1] / 'configs/_base_/multi_crop_224.py'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='folder of images, with or without sub-folders')
    parser.add_argument('--images', type=positive, default=28, help='images per round')
    parser.add_argument('--rounds', type=positive, default=5, help='rounds; the pipelines take turns')
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        print(describe_data(benchmark_data(RECIPE, args.folder, args.images, args.rounds)))
    except (ValueError, OSError, ModuleNotFoundError) as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()

"""What the authors' program does, written down once: tests compare the recipes with these values.

The figures of the paper come from the program, so recipes that bear the paper's name follow it; ``docs/fidelity.md``
lists every difference.
"""

# Fine-tuning on ImageNet-1K (tables 8 and 10): total batch, peak lr for it, layer decay, epochs. The cosine is over 200
# epochs and cut; a tenth of the epochs is a warm-up.
FINETUNING = {
    'finetune_vits': (2048, 0.002, 0.55, 200),
    'finetune_vitb': (2048, 0.0007, 0.4, 100),
    'finetune_vitl': (2048, 0.0018, 0.6, 50),
    'finetune_swint': (1024, 0.0014, 0.6, 200),
    'finetune_swins': (1024, 0.001, 0.4, 100),
    'finetune_swinb': (512, 0.0007, 0.55, 50),
    'finetune_resnet50': (1024, 0.0014, 0.6, 100),
    'finetune_resnet101': (1024, 0.001, 0.4, 100),
    'finetune_resnet152': (512, 0.0007, 0.45, 100),
}
FINETUNING_COSINE = 200
FINETUNING_MIN_LR = 1e-6
WEIGHT_EMA = 0.7  # share of the average that is kept at every step
DROP_PATH = 0.0
TEST_INTERPOLATION = 'bilinear'
GPUS = 8

# Few labels (table 9).
SEMI_LR = SEMI_MIN_LR = 1e-5
SEMI_BATCH = 1024
SEMI_EPOCHS = 1000

# Augmentation of fine-tuning and of few labels.
RAND_AUGMENT = (9, 0.5)  # magnitude, its deviation
ERASING = 0.25
MIXUP, CUTMIX, SMOOTHING = 0.8, 1.0, 0.1

# Transfer (table 12): lr per 512 images and layer decay of ViT-S and ViT-B.
TRANSFER = {
    'cifar10': ((8e-6, 0.9), (7.5e-6, 0.9)),
    'cifar100': ((9e-6, 0.85), (7.5e-6, 0.8)),
    'inat18': ((4e-4, 0.8), (2e-4, 0.75)),
    'inat19': ((7e-5, 0.85), (4e-5, 0.75)),
    'flowers': ((6e-4, 0.6), (5e-4, 0.7)),
    'cars': ((4e-4, 0.8), (3e-4, 0.7)),
}
TRANSFER_MIN_LR = 1e-5
REPEATED_AUGMENTATION = 3
FLOWERS_SPLITS = ('train', 'val')

# Figure 5: tiles in which images are cut and shuffled.
FIGURE5_GRIDS = '1 2 2x4 4 4x8 8 14'

# COCO (table 2): grid of positions, rows and columns.
COCO_GRID = {'cascade_mask_rcnn_vitb_3x': (42, 68), 'cascade_mask_rcnn_vits_3x': (50, 63)}

# ADE20K (table 2): channels of UPerNet's head, the network's width.
UPERNET_CHANNELS = {'upernet_vitb_160k': 768, 'upernet_vits_160k': 384}

# Images of an optimizer step in pre-training.
PRETRAINING_BATCH = {'poa_vitl': 1600, 'poa_swinb': 2048, 'poa_resnet152': 1280}
SEED_BATCH = 4096
LINEAR_BATCH = 2048
LINEAR_STEPS = 12500

# Table 19: widths and depths that are drawn; the intact network is always 1024 x 24.
CANDIDATES = {
    143: ([384, 448, 512, 576, 640, 704, 768, 832, 896, 960, 1024], list(range(12, 25))),
    42: ([384, 512, 640, 768, 896, 1024], [12, 14, 16, 18, 20, 22, 24]),
    20: ([384, 576, 768, 960], [12, 15, 18, 21, 24]),
    16: ([384, 576, 768, 960], [12, 16, 20, 24]),
}

# Rows named DINOv2: width and depth.
DINOV2_PROTOTYPES = (65536,)
DINOV2 = {
    'dinov2_vits': (384, 12),
    'dinov2_vitb': (768, 12),
    'dinov2_vitl': (1024, 24),
    'dinov2_swint': (96, 6),
    'dinov2_swins': (96, 18),
    'dinov2_swinb': (128, 18),
}

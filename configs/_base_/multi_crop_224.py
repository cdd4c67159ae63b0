"""Two global crops of 224 px and eight local ones of 96 px of every image of a folder (POA, sec. 4.1)."""

data_root = 'data/imagenet/train'

# The paper's text blurs the global crops with probability 1.0 and 0.1. The program behind its tables, like
# DINOv2's, hands the complement to a function that expects the probability: what was run is 0 and 0.9.
photometric = dict(flip=0.5, jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, grayscale=0.2)
train_dataloader = dict(
    num_workers=10,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='SeededInfiniteSampler'),
    # Patches of 16 px; Swin and ResNet mask cells of the same size.
    collate_fn=dict(type='poa_mm.multi_crop_collate', grid=(14, 14)),
    dataset=dict(
        type='ViewsDataset',
        dataset=dict(type='ImageFolder', data_root=data_root),
        views=dict(
            global_1=dict(size=224, scale=(0.32, 1.0), blur=0.0, **photometric),
            global_2=dict(size=224, scale=(0.32, 1.0), blur=0.9, solarize=0.2, **photometric),
            local=dict(size=96, number=8, scale=(0.05, 0.32), blur=0.5, **photometric),
        ),
    ),
)

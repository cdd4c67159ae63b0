"""Two global crops of 96 px and four local ones of 48 px of every image of a folder, for small data."""

data_root = 'data/images'

photometric = dict(flip=0.5, jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, grayscale=0.2)
train_dataloader = dict(
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='SeededInfiniteSampler'),
    collate_fn=dict(type='poa_mm.multi_crop_collate'),
    dataset=dict(
        type='ViewsDataset',
        dataset=dict(type='ImageFolder', data_root=data_root),
        views=dict(
            global_1=dict(size=96, scale=(0.32, 1.0), blur=0.0, **photometric),
            global_2=dict(size=96, scale=(0.32, 1.0), blur=0.5, solarize=0.2, **photometric),
            local=dict(size=48, number=4, scale=(0.05, 0.32), blur=0.5, **photometric),
        ),
    ),
)

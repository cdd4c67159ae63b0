"""A linear classifier of every position of a frozen ViT (POA, sec. 4); fill_in gives the ViT.

Four maps, without the final norm, side by side: one 1 x 1 convolution, no norm, no dropout.
"""

model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean='$mean',
        std='$std',
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    backbone=dict(
        type='poa_mm.FrozenBackbone',
        backbone=dict(type='$backbone', img_size=512),
    ),
    decode_head=dict(
        type='FCNHead',
        in_channels='$channels',
        channels='$sum(channels)',
        in_index=[0, 1, 2, 3],
        input_transform='resize_concat',
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        num_classes=150,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)

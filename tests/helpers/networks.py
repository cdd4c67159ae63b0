"""Tiny networks: one declaration for all tests.

Each is the config of an elastic backbone with several widths and depths, built in milliseconds; the fixture
``random_backbone`` builds it with random weights. Tests that need another argument write ``{**VIT, 'img_size': 64}``.
"""

# 3 widths x 3 depths, 2 x 2 patches; '24x3' is neither the smallest nor the intact one.
VIT = dict(
    type='ElasticVisionTransformer',
    img_size=16,
    patch_size=8,
    widths=(16, 32, 8),
    depths=(2, 4),
    head_dim=8,
    layer_scale_init_value=0.1,
)
# What DINOv2's largest networks have more: registers and SwiGLU. 2 widths x 3 depths; '24x3'.
VIT_REGISTERS = dict(
    type='ElasticVisionTransformer',
    img_size=28,
    patch_size=14,
    widths=(24, 48, 24),
    depths=(2, 4),
    head_dim=8,
    layer_scale_init_value=0.1,
    num_registers=3,
    ffn='swiglu',
    ln_eps=1e-3,
)
# 3 widths x 3 depths; '24x3'.
SWIN = dict(
    type='ElasticSwinTransformer',
    img_size=64,
    widths=(16, 32, 8),
    depths=(2, 4),
    stage_depths=(2, 1, None, 2),
    head_dim=8,
)
# Two stages, the first of them elastic, windows that do not tile the maps, small mask cells; '16x1'.
SWIN_TWO_STAGES = dict(
    type='ElasticSwinTransformer',
    img_size=64,
    widths=(16, 32, 16),
    depths=(1, 3, 2),
    stage_depths=(None, 2),
    head_dim=8,
    window_size=4,
    mask_stride=8,
)
# For whole training steps: three stages, the middle one elastic, crops of 32 px, mask cells of 8; '24x2'.
SWIN_STEP = dict(
    type='ElasticSwinTransformer',
    img_size=32,
    widths=(16, 32, 8),
    depths=(2, 3),
    stage_depths=(1, None, 1),
    head_dim=8,
    window_size=3,
    mask_stride=8,
)
# Four stages, as mmseg's and mmpretrain's recipes have; '8x1'.
SWIN_FOUR_STAGES = dict(
    type='ElasticSwinTransformer',
    img_size=32,
    widths=(8, 16, 8),
    depths=(1, 2),
    stage_depths=(1, 1, None, 1),
    head_dim=4,
    window_size=2,
)
# 3 widths x 6 depths, none of a published ResNet; '12x1-2-2-2'.
RESNET = dict(
    type='ElasticResNet',
    widths=(8, 16, 4),
    depths=((1, 1), (1, 2), (1, 3), (2, 2)),
    stem_channels=8,
    out_channels=32,
    num_groups=4,
)
# For whole training steps: three stages, crops of 32 px, mask cells of 8; '12x1-2-2'.
RESNET_STEP = dict(
    type='ElasticResNet',
    widths=(8, 16, 4),
    depths=((1, 1), (1, 2), (1, 3)),
    stem_channels=8,
    out_channels=16,
    num_groups=4,
    mask_stride=8,
)
# The depths of a ResNet-50 are its smallest member's; '8x3-4-6-3'.
RESNET_FOUR_STAGES = dict(
    type='ElasticResNet',
    widths=(8, 16, 8),
    depths=((3, 3), (4, 4), (6, 7), (3, 3)),
    stem_channels=8,
    out_channels=32,
    num_groups=4,
)
# With members of published depths: '16x3-4-6-3' is a ResNet-50 with fewer channels; '24x3-4-6-3'.
RESNET_50 = dict(
    type='ElasticResNet',
    widths=(16, 32, 8),
    depths=((3, 3), (3, 5), (5, 7), (2, 3)),
    stem_channels=16,
    out_channels=64,
    num_groups=8,
)
# The family of examples/, which must be imported; '12x3'.
CONVNEXT = dict(
    type='ElasticConvNeXt',
    widths=(8, 16, 4),
    depths=(2, 4),
    stage_depths=(1, 2, 1),
    layer_scale_init_value=0.5,
)

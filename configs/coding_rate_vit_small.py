"""poa_vit_small.py without prototypes: unit vectors are compared, and their coding rate keeps them from collapsing.

tools/train.py configs/coding_rate_vit_small.py --amp --cfg-options data_root=data/my_images
"""

_base_ = 'poa_vit_small.py'

model = dict(
    head=dict(_delete_=True, type='EmbeddingHead', hidden_dims=512, out_dims=128),
    target=dict(type='Embeddings'),
    # For unit vectors drawn at random, its gradient is 200 to 600 times that of the global distances. Not tuned.
    loss_weights=dict(koleo=0.0, coding_rate=0.02),
)
# Nothing to freeze without prototypes.
default_hooks = dict(freeze_last_layer=None)

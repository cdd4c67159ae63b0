"""ViT-g/16 and the 550 smaller ViTs inside it, divided among the GPUs.

tools/dist_train.sh configs/poa_vitg.py 8

The paper ends with ViT-L: this space is ours, up to the width, depth and heads of DINOv2's ViT-g, and so is the choice
to keep everything else of poa_vitl.py. It has not been run; `poa plan configs/poa_vitg.py --gpus 8` says what it needs.
"""

_base_ = 'poa_vitl.py'

# --- the network and its sub-networks: 19 widths x 29 depths ---
model = dict(
    # Activations are computed again in the backward pass, so that 50 images at a time fit, as with ViT-L.
    backbone=dict(widths=(384, 1536, 64), depths=(12, 40), with_cp=True),
)

# Each GPU keeps its share of student, teacher, gradients and optimizer.
model_wrapper_cfg = dict(_delete_=True, type='FullyShardedPOA')

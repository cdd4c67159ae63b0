"""Necks of the fine-tuning recipes."""

import pytest
import torch
import torch.nn.functional as F

from poa_mm.registry import MODELS


def test_projection_layer_is_that_of_the_head(tmp_path):
    head = MODELS.build(
        dict(type='MultiPrototypeHead', embed_dims=12, num_prototypes=(4, 5), hidden_dims=8, bottleneck_dims=4)
    )
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    weights = {f'teacher.head.{name}': value for name, value in head.state_dict().items()}
    path = str(tmp_path / 'x.pth')
    torch.save(dict(state_dict=weights), path)
    for dims in (12, 8):
        neck = MODELS.build(dict(type='ProjectionLayer', in_channels=dims, hidden_dims=8, head=1, checkpoint=path))
        neck.init_weights()
        x = torch.randn(3, dims)
        with torch.no_grad():
            expected = F.gelu(head.heads[1].mlp[0](x))
            torch.testing.assert_close(neck([x])[0], expected)
            torch.testing.assert_close(neck([x[..., None, None].expand(3, dims, 2, 2)])[0], expected)
    for wrong, message in [
        (dict(hidden_dims=6), 'it has no part of'),
        (dict(in_channels=16), 'it has no part of'),
        (dict(head=2), r'no weights named teacher\.head\.heads\.2\.mlp\.0'),
        (dict(checkpoint='no.pth'), r'no\.pth does not exist: .* written by poa train'),
    ]:
        neck = MODELS.build({**dict(type='ProjectionLayer', in_channels=8, hidden_dims=8, checkpoint=path), **wrong})
        with pytest.raises(ValueError, match=message):
            neck.init_weights()
    with pytest.raises(ValueError, match="'teacher' or 'student', got 'techer'"):
        MODELS.build(dict(type='ProjectionLayer', in_channels=8, branch='techer'))


def test_concat_pool():
    maps = [torch.randn(2, 3, 4, 4), torch.randn(2, 5, 2, 2)]
    (joined,) = MODELS.build(dict(type='ConcatPool'))(maps)
    torch.testing.assert_close(joined, torch.cat([m.flatten(2).mean(2) for m in maps], 1))

import pytest
import torch
from torchvision.transforms import functional as TF

from poa_mm.models.data_preprocessor import MultiCropPreprocessor


def batch():
    generator = torch.Generator().manual_seed(0)
    crops = [torch.randint(0, 256, (n, 3, s, s), dtype=torch.uint8, generator=generator) for n, s in ((4, 32), (6, 16))]
    return dict(
        inputs=dict(
            global_crops=crops[0],
            local_crops=crops[1],
            masks=torch.zeros(4, 4, dtype=torch.bool),
            mask_indices=torch.arange(3),
            mask_weights=torch.ones(3),
        ),
        data_samples=None,
    )


def test_normalises_as_torchvision():
    data = batch()
    before = data['inputs']['global_crops'].clone()
    result = MultiCropPreprocessor()(data, training=True)
    for name in ('global_crops', 'local_crops'):
        crops = result['inputs'][name]
        expected = TF.normalize(data['inputs'][name].float() / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        assert crops.dtype == torch.float32
        torch.testing.assert_close(crops, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(data['inputs']['global_crops'], before)


def test_passes_the_rest_on():
    data = batch()
    result = MultiCropPreprocessor()(data)
    assert result['data_samples'] is None
    assert result['inputs'].keys() == data['inputs'].keys()
    for name in ('masks', 'mask_indices', 'mask_weights'):
        assert torch.equal(result['inputs'][name], data['inputs'][name])


def test_leaves_nothing_in_a_checkpoint():
    assert not MultiCropPreprocessor().state_dict()


@pytest.mark.parametrize('change', [dict(mean=(0.5,)), dict(std=(1, 1)), dict(std=(1, 1, 0))])
def test_bad_values_are_told(change):
    with pytest.raises(ValueError, match='three values each'):
        MultiCropPreprocessor(**change)

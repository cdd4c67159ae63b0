"""What changes in the loss over a run."""

import numpy as np
import pytest

from poa_mm.errors import UserError
from poa_mm.models.schedule import PretrainSchedule


def test_temperature_is_a_line_then_constant():
    schedule = PretrainSchedule(0.04, 0.07, 10)
    np.testing.assert_allclose([schedule.teacher_temp(s) for s in range(11)], np.linspace(0.04, 0.07, 11))
    assert schedule.teacher_temp(12) == PretrainSchedule(0.04, 0.07, 0).teacher_temp(0) == 0.07


def test_patch_loss_starts():
    assert [PretrainSchedule(patch_loss_start=2).patch_loss(s) for s in range(4)] == [False, False, True, True]
    assert PretrainSchedule().patch_loss(0)
    assert not PretrainSchedule(patch_loss_start=None).patch_loss(10**9)


@pytest.mark.parametrize('kwargs, message', [(dict(temp_start=0), 'above 0, got 0 and'), (dict(temp_steps=-1), '-1')])
def test_wrong_values(kwargs, message):
    with pytest.raises(UserError, match=message):
        PretrainSchedule(**kwargs)

"""``poa_mm.engine.precision``: CPUs on which mixed precision takes far longer."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.benchmark import Timer

from poa_mm.commands.main import main
from poa_mm.engine import precision
from poa_mm.engine.hooks import start_check
from poa_mm.errors import UserError


@pytest.mark.skipif(torch.cuda.is_available(), reason='a GPU computes instead')
def test_emulation_shows_in_the_time_of_a_product():
    def seconds(dtype):
        a = torch.ones(384, 384, dtype=dtype)
        return Timer('a @ a', globals={'a': a}).blocked_autorange(min_run_time=0.05).median

    assert precision.emulates_bfloat16() == (seconds(torch.bfloat16) > 8 * seconds(torch.float32))


@pytest.mark.skipif(torch.cuda.is_available(), reason='a GPU computes instead')
def test_pytorch_without_onednn(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, 'is_available', lambda: False)
    monkeypatch.setattr(torch.ops, 'mkldnn', None)  # such a build has no operator to ask
    assert precision.emulates_bfloat16()


@pytest.mark.parametrize(
    ('words', 'instead'),
    [
        (['train', 'poa_demo', '--amp'], 'leave out --amp'),
        (['knn', 'poa_demo', '--untrained', '--amp'], 'leave out --amp'),
        (['study', 'studies/vit_alone.yaml', '--out', '{out}', '--train', 'a', '--val', 'b'], 'give --fp32'),
    ],
)
def test_commands_refuse_it(monkeypatch, tmp_path, capsys, words, instead):
    monkeypatch.setattr(precision, 'emulates_bfloat16', lambda: True)
    with pytest.raises(SystemExit) as stop:
        main([word.format(out=tmp_path / 'out') for word in words])
    assert stop.value.code and instead in capsys.readouterr().err
    with pytest.raises(UserError, match='far longer than float32: do something else'):
        precision.check_amp('do something else')


@pytest.mark.parametrize(
    ('emulated', 'dtype', 'warned'), [(True, torch.bfloat16, 1), (True, None, 0), (False, torch.bfloat16, 0)]
)
def test_a_config_in_bfloat16_is_warned_of(monkeypatch, emulated, dtype, warned):
    printed = []
    monkeypatch.setattr(start_check, 'emulates_bfloat16', lambda: emulated)
    monkeypatch.setattr(start_check, 'print_log', lambda text, *_: printed.append(text))
    start_check.warn_of_emulation(SimpleNamespace(optim_wrapper=SimpleNamespace(amp_dtype=dtype)))
    assert len(printed) == warned and all('amp_dtype=None' in text for text in printed)

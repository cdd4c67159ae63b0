import logging
import sys
import warnings

from mmengine.logging import MMLogger, print_log

from poa_mm.compat import quiet_import


def test_silent_while_importing_and_not_after(tmp_path, monkeypatch, capfd):
    (tmp_path / 'talkative.py').write_text(
        'import logging, warnings\n'
        'from mmengine.logging import MMLogger\n'
        "MMLogger.get_instance('quiet_test').warning('while importing')\n"
        "warnings.warn('while importing')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        module = quiet_import('talkative')
        warnings.warn('later', stacklevel=1)
    assert module is sys.modules['talkative']
    assert [str(w.message) for w in caught] == ['later']
    print_log('later', logger=MMLogger.get_instance('quiet_test'), level=logging.WARNING)
    out, err = capfd.readouterr()
    assert 'while importing' not in out + err and 'later' in out + err

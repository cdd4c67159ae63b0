"""The text of a config that has not changed is formatted once."""

from types import SimpleNamespace

from mmengine.config import Config

from poa_mm.compat import format_once


def test_the_text_is_yapfs_and_follows_the_config():
    import poa_mm  # noqa: F401

    cfg = Config(dict(b=dict(type='A', c=1), a='text'))
    assert [cfg.pretty_text, cfg.pretty_text] == ["a = 'text'\nb = dict(c=1, type='A')\n"] * 2
    cfg.a = 'other'
    assert cfg.pretty_text.startswith("a = 'other'\n")


def test_the_last_text_is_kept():
    asked = []
    module = SimpleNamespace(FormatCode=lambda code, **settings: asked.append(code) or (code.upper(), True))
    format_once(module)
    for code in ('a', 'a', 'b', 'a'):
        assert module.FormatCode(code, style_config=dict(x=1)) == (code.upper(), True)
    assert asked == ['a', 'b', 'a']
    module.FormatCode('a', style_config=dict(x=2))
    assert asked == ['a', 'b', 'a', 'a']

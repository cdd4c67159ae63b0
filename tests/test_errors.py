"""Parts of sentences."""

from poa_mm.errors import listed, not_found


def test_what_is_there_instead(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'notes.txt').write_text('')
    assert not_found(tmp_path) == f"'{tmp_path}' is a folder, not a file"
    assert not_found('notes.txt') == "'notes.txt' is a file, not a folder"
    assert not_found('nothing') == "'nothing' does not exist" and not_found('') == "'' does not exist"


def test_the_first_of_many_are_listed():
    assert listed('abc', 3) == 'a, b, c' and listed([], 3) == ''
    assert listed((name for name in 'abcd'), 2, '; ') == 'a; b and 2 more'

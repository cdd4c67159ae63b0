"""Sentences on paths."""

from poa_mm.errors import not_found


def test_what_is_there_instead(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'notes.txt').write_text('')
    assert not_found(tmp_path) == f"'{tmp_path}' is a folder, not a file"
    assert not_found('notes.txt') == "'notes.txt' is a file, not a folder"
    assert not_found('nothing') == "'nothing' does not exist" and not_found('') == "'' does not exist"

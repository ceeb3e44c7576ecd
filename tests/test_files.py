"""Files whole or not at all."""

from __future__ import annotations

import pytest

from napari_wsimil.files import written_whole


def test_a_file_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "a.txt"
    with written_whole(target) as part:
        part.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_what_was_there_stays_when_writing_fails(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail(part):
        part.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="full"), written_whole(target) as part:
        fail(part)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]

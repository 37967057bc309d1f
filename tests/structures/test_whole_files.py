"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from rexkit.whole_files import write_whole


@pytest.mark.parametrize("content", ["caf\u00e9\n", b"\x00\xff"])
def test_text_and_bytes_replace_what_was_there(tmp_path, content):
    (tmp_path / "a").write_text("old")
    write_whole(tmp_path / "a", content)
    data = content.encode() if isinstance(content, str) else content
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", data)]


def test_a_file_that_cannot_be_written_whole_keeps_its_old_text(tmp_path):
    write_whole(tmp_path / "a.json", "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "a.json", "\ud800")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.json", "old")]


def test_a_full_disk_keeps_the_old_text(tmp_path, monkeypatch):
    write_whole(tmp_path / "a.json", "old")

    def half(self, data):
        with self.open("wb") as file:
            file.write(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a.json", "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.json", "old")]

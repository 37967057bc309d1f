"""Files are written whole or not at all."""

from __future__ import annotations

import json
import resource

import pytest

from rexkit.whole_files import write_whole


@pytest.mark.parametrize("content", ["caf\u00e9\n", b"\x00\xff"])
def test_text_and_bytes_replace_what_was_there(tmp_path, content):
    (tmp_path / "a").write_text("old")
    write_whole(tmp_path / "a", content)
    data = content.encode() if isinstance(content, str) else content
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", data)]


def test_half_of_a_surrogate_pair_is_written_as_json_escapes_it(tmp_path):
    write_whole(tmp_path / "a.json", '["\udce9"]')
    assert json.loads((tmp_path / "a.json").read_bytes()) == ["\udce9"]


def test_a_name_may_be_as_long_as_names_can_be(tmp_path):
    name = "\u65e5" * 83 + ".txt"
    write_whole(tmp_path / name, "new")
    assert (tmp_path / name).read_text() == "new"


def test_a_full_disk_keeps_the_old_text(tmp_path):
    write_whole(tmp_path / "a.json", "old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # a write beyond it fails
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(tmp_path / "a.json", "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.json", "old")]

"""Files of one JSON list, read an object at a time."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rexkit.errors import DataError
from rexkit.formats import json_lists
from rexkit.formats.json_lists import first_of_json_list, json_list_items, read_json_item

VALUES = st.dictionaries(
    st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=4)
)


@given(st.lists(VALUES), st.sampled_from([None, 2]), st.booleans(), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_objects_and_their_places(tmp_path_factory, values, indent, ascii_only, chunk):
    path = tmp_path_factory.mktemp("lists") / "list.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=ascii_only), "utf-8-sig")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lists, "_CHUNK", chunk)  # objects and characters are cut anywhere
        items = list(json_list_items(path))
    assert [item.value for item in items] == values
    assert [read_json_item(path, item.start, item.end) for item in items] == values
    assert first_of_json_list(path) == (values[0] if values else None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"\[0\]: one JSON list of objects has '\[' here, not the end of the file"),
        (b'{"a": 1}', r"\[0\]: one JSON list of objects has '\['"),
        (b"[1]", r"\[0\]: .* has '{' here, not '1'"),
        (b'[{"a": 1},]', r"\[1\]: .* has '{' here, not '\]'"),
        (b'[{"a": 1} {"a": 2}]', r"\[1\]: .* has ',' here, not '{'"),
        (b'[{"a": 1}, {"a": 2', r"\[1\]: bad JSON"),
        (b'[{"a": 1}] 2', r"\[1\]: something follows the list"),
        (b'[{"a": "\xff"}]', r"\[0\]: the file is not UTF-8"),
        (b"[" + b'{"a":' * 100_000, r"\[0\]: bad JSON"),
    ],
)
def test_files_that_are_no_such_list(tmp_path, text, message):
    path = tmp_path / "list.json"
    path.write_bytes(text)
    with pytest.raises(DataError, match=message):
        list(json_list_items(path))
    assert first_of_json_list(path) in (None, {"a": 1})

"""A broken contract is reported by the name of what changed."""

from __future__ import annotations

import pytest
from contract import check_order, check_parameters, check_source, find


def test_missing_names_are_reported():
    with pytest.raises(AssertionError, match="no_such_module can no longer be imported"):
        find("no_such_module:name")
    with pytest.raises(AssertionError, match=r"json\.JSONDecoder no longer has undo"):
        find("json:JSONDecoder.undo.again")
    with pytest.raises(AssertionError, match="json:loads no longer has the parameter text"):
        check_parameters("json:loads", "s", "text")
    with pytest.raises(AssertionError, match="no longer holds 'abracadabra'"):
        check_source("json:loads", "cls", "abracadabra")
    with pytest.raises(AssertionError, match="no longer has this order"):
        check_order("json:loads", "return", "def loads")

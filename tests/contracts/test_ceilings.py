"""Packages whose private names are used have upper bounds, which constraints.txt satisfies."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement
from paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REQUIREMENTS = {
    requirement.name: requirement
    for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for line in lines
    if (requirement := Requirement(line)).specifier
}
PINNED = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if "==" in line and not line.startswith("#")
)
COMPAT = {path.stem for path in (ROOT / "rexkit" / "_compat").glob("[a-z]*.py")}


@pytest.mark.parametrize("name", sorted(COMPAT | {"mmengine"}))
def test_packages_with_private_names_have_an_upper_bound(name):
    assert any(s.operator in ("<", "<=", "==", "~=") for s in REQUIREMENTS[name].specifier)


@pytest.mark.parametrize("name", sorted(REQUIREMENTS))
def test_the_pinned_version_is_within_the_bounds(name):
    version = PINNED.get(name) or PINNED.get(f"{name}-cpu")
    if version is None:
        pytest.skip(f"constraints.txt does not pin {name}")
    assert REQUIREMENTS[name].specifier.contains(version)

"""Flags named like arguments of a trainer, as training scripts have them: ``--weight_decay 0.01``.

The values are read by the annotations of the arguments. A flag of a truth value may stand alone,
and one of a list takes every word up to the next flag.
"""

from __future__ import annotations

import ast
import inspect
import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, is_dataclass
from importlib.util import find_spec
from typing import Any, Union, get_args, get_origin, get_type_hints

from rexkit.errors import UserError

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

_GROUPED = re.compile(r"[\d.]*_[\d_.]*")
"""2024_01 is a number for Python, and a name for everybody else."""

Kinds = frozenset[Any]
"""The types that a value may have; empty if any may be."""


@dataclass
class ScriptFlags:
    """The words of a command line, divided.

    Attributes:
        words: what the command's own parser reads.
        flags: values of the other flags by name, without dashes; none for a flag that stands alone.
        settings: the value of each ``KEY=VALUE`` word.
    """

    words: list[str] = field(default_factory=list)
    flags: dict[str, list[str]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.flags or self.settings)


def split_flags(
    words: Iterable[str], own: Mapping[str, int | None], kinds_of: Callable[[str], Kinds]
) -> ScriptFlags:
    """Divide the words of a command line; of a flag that is given twice the last one counts.

    Args:
        words: the arguments of the command.
        own: the options of the command's own parser, and how many values each takes; None for
            every word up to the next flag.
        kinds_of: returns the types of a flag's value.

    Raises:
        UserError: a flag has no value but needs one.

    >>> own = {"--dry-run": 0, "--cfg-options": None}
    >>> kinds = {"bf16": frozenset([bool])}
    >>> words = "a.py --bf16 --dry-run --lr -1 --cfg-options b=2 c=3 d.e=4".split()
    >>> found = split_flags(words, own, lambda name: kinds.get(name, frozenset()))
    >>> found.words, found.flags
    (['a.py', '--dry-run', '--cfg-options', 'b=2', 'c=3', 'd.e=4'], {'bf16': [], 'lr': ['-1']})
    """
    found = ScriptFlags()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            key, sign, value = word.partition("=")
            if sign and key.replace(".", "").replace("_", "").isalnum() and not word[:1].isdigit():
                found.settings[key] = value
            else:
                found.words.append(word)
            continue
        option, sign, value = word.partition("=")
        if option in own:
            found.words.append(word)
            number = 0 if sign else own[option]
            found.words += _take(rest, len(rest) if number is None else number)
            continue
        name = option.removeprefix("--").replace("-", "_")
        kinds = kinds_of(name)
        if sign:
            values = [value]
        elif kinds - {type(None)} == {bool}:
            values = [rest.pop(0)] if rest and rest[0].lower() in _TRUTH else []
        else:
            values = _take(rest, len(rest) if list in kinds else 1)
            if not values:
                raise UserError(f"{option}: a value must follow")
        found.flags[name] = values
    return found


def parse_value(values: list[str], kinds: Kinds, option: str) -> Any:
    """Return the value of a flag by its types.

    Args:
        values: the words after the flag.
        kinds: the types; with none, the word is read as a Python literal where it is one.
        option: the flag, for messages.

    Raises:
        UserError: the words are none of these types.

    >>> parse_value(["1e-5"], frozenset([float]), "--learning_rate")
    1e-05
    >>> parse_value(["no"], frozenset([str]), "--eval_strategy"), parse_value([], {bool}, "--bf16")
    ('no', True)
    """
    if not values:
        return True
    if list in kinds and len(values) > 1:
        return values
    [word, *more] = values
    if more:
        raise UserError(f"{option}: takes one value, got {' '.join(values)}")
    if bool in kinds and word.lower() in _TRUTH:
        return _TRUTH[word.lower()]
    if word == "None" and (not kinds or type(None) in kinds):
        return None
    literal = _literal(word)
    wanted = {int: (int, float), float: (int, float), dict: (dict,), list: (list, tuple)}
    for kind in (int, float, dict, list, tuple):
        if kind in kinds and type(literal) in wanted.get(kind, (kind,)):
            return literal
    if not kinds:
        return word if literal is None else literal
    if kinds - {bool, int, float, dict, tuple, type(None)}:  # text, a choice, a list of texts
        return word
    names = " or ".join(sorted(k.__name__ for k in kinds - {type(None)}))
    raise UserError(f"{option}: expected {names}, got {word!r}")


def trainer_kinds() -> Callable[[str], Kinds]:
    """Return a function from the name of a trainer's argument to the types of its value.

    It knows the arguments of every trainer in TRAINERS, those of `transformers.TrainingArguments`
    and, where TRL is installed, of ``trl.GRPOConfig``.
    """
    from transformers import TrainingArguments

    from rexkit.registry import TRAINERS

    holders: list[Any] = [*TRAINERS.components().values(), TrainingArguments]
    if find_spec("trl"):
        from rexkit._compat.trl import GRPOConfig

        holders.append(GRPOConfig)
    hints: dict[str, Any] = {}
    for holder in holders:
        for name, hint in _hints(holder).items():
            hints.setdefault(name, hint)
    return lambda name: kinds_of_hint(hints[name]) if name in hints else frozenset()


def kinds_of_hint(hint: Any) -> Kinds:
    """Return the plain types in an annotation.

    >>> sorted(kind.__name__ for kind in kinds_of_hint(list[str] | dict[str, int] | None))
    ['NoneType', 'dict', 'list']
    """
    if get_origin(hint) in (Union, types.UnionType):
        return frozenset().union(*map(kinds_of_hint, get_args(hint)))
    origin = get_origin(hint) or hint
    return frozenset([origin if isinstance(origin, type) else str])


def _hints(holder: Any) -> dict[str, Any]:
    """Return the annotations of a trainer's constructor, or of a dataclass."""
    function = holder.__init__ if inspect.isclass(holder) and not is_dataclass(holder) else holder
    try:
        return get_type_hints(function)
    except (NameError, TypeError):  # of a plugin, with names that only type checkers import
        return {}


def _take(rest: list[str], number: int) -> list[str]:
    """Remove the next words that are no flags, up to a number."""
    taken: list[str] = []
    while rest and len(taken) < number and not rest[0].startswith("--"):
        taken.append(rest.pop(0))
    return taken


def _literal(word: str) -> Any:
    if _GROUPED.fullmatch(word):
        return None
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return None

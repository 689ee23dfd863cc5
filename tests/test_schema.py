"""Checks of data that somebody may have changed."""

import math

import pytest

from csd import schema
from csd.errors import shown


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (schema.integer(1, 8), [1, 8], [0, 9, 1.0, True, "1", None, 10**5000]),
        (schema.number(0, 1), [0, 0.25, 1], [-0.1, math.nan, math.inf, True, "0.5", [0.5]]),
        (schema.number(), [-1e300, 10**400], [math.nan, -math.inf]),
        (schema.text(3), ["", "abc"], ["abcd", 1, None]),
        (schema.boolean, [True, False], [0, 1, "true", None]),
        (schema.optional(schema.integer(0)), [None, 0], [-1, "x"]),
        (schema.array(schema.integer(0), 1, 2), [[1], [1, 2]], [[], [1, 2, 3], "12", [-1], None]),
        (schema.mapping(schema.integer()), [{}, {"a": 1}], [{"a": "b"}, [1], {1: 2}, None]),
        (
            schema.table({"a": schema.integer()}, {"b": schema.text()}),
            [{"a": 1}, {"a": 1, "b": "x", "c": [1]}],
            [{}, {"a": "1"}, {"a": 1, "b": 2}, [], "a", {"a": 1, 2: 3}],
        ),
    ],
)
def test_what_is_taken_and_what_is_not(check, good, bad):
    for value in good:
        check(value)
    for value in bad:
        with pytest.raises(ValueError, match=r"must|missing") as refused:
            check(value)
        assert len(str(refused.value)) < 200 and "\n" not in str(refused.value)


def test_the_place_is_named():
    check = schema.table({"input": schema.table({"shape": schema.array(schema.integer(1))})})
    with pytest.raises(ValueError, match=r"^'input\.shape\[1\]' must be a whole number of"):
        check({"input": {"shape": [1, 0]}})
    with pytest.raises(ValueError, match=r"^'input\.shape' is missing"):
        check({"input": {}})


def test_a_value_is_shown_in_one_short_line():
    endless: list = []
    endless.append(endless)
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("x" * 10**6, "a\nb\x1b[2J", 10**5000, endless, deep, {"a": {"b": [1] * 1000}}):
        text = shown(value)
        assert len(text) <= 60 and text.isprintable()
    assert shown("ab") == "'ab'" and shown(-1.5) == "-1.5"
    while deep:  # taken apart, as Python's own freeing of it is as deep
        deep = deep[0]

"""The checker itself, on histories made by hand: what it must take and what it must refuse."""

import pytest

from checker import ABSENT, CONFLICT, MISSING, UNKNOWN, Op, check

GOOD = {
    "empty": [],
    "read your write": [Op("put", 0, 1, value="a"), Op("get", 2, 3, "a")],
    "read nothing": [Op("get", 0, 1, ABSENT), Op("put", 2, 3, value="a"), Op("delete", 4, 5), Op("get", 6, 7, ABSENT)],
    "read either during a write": [Op("put", 0, 10, value="a"), Op("get", 1, 2, ABSENT), Op("get", 3, 4, "a")],
    "two writes at once, either last": [Op("put", 0, 10, value="a"), Op("put", 0, 10, value="b"), Op("get", 11, 12, "a")],
    "one of two creates": [Op("create", 0, 10, value="a"), Op("create", 0, 10, CONFLICT, value="b"), Op("get", 11, 12, "a")],
    "create again after a delete": [Op("create", 0, 1, value="a"), Op("delete", 2, 3), Op("create", 4, 5, value="b")],
    "swap": [Op("put", 0, 1, value="a"), Op("swap", 2, 3, value="b", expect="a"), Op("swap", 4, 5, CONFLICT, value="c", expect="a"),
             Op("get", 6, 7, "b")],
    "swap of nothing": [Op("swap", 0, 1, MISSING, value="b", expect="a")],
    "unknown and done": [Op("put", 0, 5, UNKNOWN, value="a"), Op("get", 6, 7, "a")],
    "unknown and not done": [Op("put", 0, 5, UNKNOWN, value="a"), Op("get", 6, 7, ABSENT)],
    "unknown, seen, then overwritten": [Op("put", 0, 9, UNKNOWN, value="a"), Op("get", 1, 2, "a"), Op("put", 3, 4, value="b"),
                                        Op("get", 5, 6, "b")],
    "unknown create explains a conflict": [Op("create", 0, 5, UNKNOWN, value="a"), Op("create", 6, 7, CONFLICT, value="b")],
    "unknown swap of another value": [Op("put", 0, 1, value="a"), Op("swap", 2, 9, UNKNOWN, value="b", expect="x"), Op("get", 10, 11, "a")],
    "order of effects against the order of calls": [Op("put", 0, 10, value="a"), Op("put", 1, 9, value="b"), Op("get", 2, 3, "a"),
                                                    Op("get", 4, 5, "b"), Op("get", 11, 12, "b")],
}
BAD = {
    "lost write": [Op("put", 0, 1, value="a"), Op("get", 2, 3, ABSENT)],
    "stale read": [Op("put", 0, 1, value="a"), Op("put", 2, 3, value="b"), Op("get", 4, 5, "a")],
    "from nowhere": [Op("get", 0, 1, "a")],
    "before it was sent": [Op("get", 0, 1, "a"), Op("put", 2, 3, value="a")],
    "two creates": [Op("create", 0, 10, value="a"), Op("create", 0, 10, value="b")],
    "create over something": [Op("put", 0, 1, value="a"), Op("create", 2, 3, value="b")],
    "conflict with nothing": [Op("create", 0, 1, CONFLICT, value="a")],
    "lost update": [Op("put", 0, 1, value="a"), Op("swap", 2, 9, value="b", expect="a"), Op("swap", 2, 9, value="c", expect="a")],
    "swap of a value that is gone": [Op("put", 0, 1, value="a"), Op("put", 2, 3, value="b"), Op("swap", 4, 5, value="c", expect="a")],
    "deleted and back": [Op("put", 0, 1, value="a"), Op("delete", 2, 3), Op("get", 4, 5, "a")],
    "back and forth": [Op("put", 0, 20, value="a"), Op("get", 1, 2, "a"), Op("get", 3, 4, ABSENT)],
    "two readers disagree": [Op("put", 0, 20, value="a"), Op("put", 0, 20, value="b"), Op("get", 1, 2, "a"), Op("get", 3, 4, "b"),
                             Op("get", 5, 6, "a")],
    "unknown takes effect after its end": [Op("put", 0, 1, UNKNOWN, value="a"), Op("get", 2, 3, ABSENT), Op("get", 4, 5, "a")],
    "unknown seen and forgotten": [Op("put", 0, 9, UNKNOWN, value="a"), Op("get", 1, 2, "a"), Op("get", 3, 4, ABSENT)],
    "the refused one": [Op("put", 0, 1, value="a"), Op("create", 2, 3, CONFLICT, value="b"), Op("get", 4, 5, "b")],
}


@pytest.mark.parametrize("name", GOOD)
def test_takes(name):
    assert check(GOOD[name]) is None


@pytest.mark.parametrize("name", BAD)
def test_refuses(name):
    assert check(BAD[name]) is not None

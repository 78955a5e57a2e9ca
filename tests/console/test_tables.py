"""Rows of a table, from answers and what a panel does to them."""

from gnomon_console.boards import Target
from gnomon_console.prometheus import Series
from gnomon_console.tables import frames, shaped


def target(ref):
    """Return a query of a table."""
    return Target(ref, "up", "", instant=True, table=True, exemplars=False, least="")


def series(value, **labels):
    """Return a series with one point."""
    return Series(labels, [(1.0, value)])


def test_rows_with_the_same_labels_become_one():
    """And what only one of the queries knows stays a row with a gap."""
    answers = [
        (target("a"), [series(1, host="x"), series(2, host="y")]),
        (target("b"), [series(10, host="y"), series(20, host="z")]),
    ]
    [rows] = shaped(frames(answers), [{"id": "merge", "options": {}}])
    assert [{k: v for k, v in row.items() if k != "Time"} for row in rows] == [
        {"host": "x", "Value #a": 1},
        {"host": "y", "Value #a": 2, "Value #b": 10},
        {"host": "z", "Value #b": 20},
    ]


def test_columns_are_chosen_ordered_and_named():
    """By the names that they have before."""
    steps = [
        {"id": "filterFieldsByName", "options": {"include": {"names": ["Value", "host"]}}},
        {
            "id": "organize",
            "options": {
                "indexByName": {"host": 0, "Value": 1},
                "renameByName": {"Value": "Used"},
                "excludeByName": {},
            },
        },
    ]
    [[row]] = shaped(frames([(target("A"), [series(3, host="x", job="j")])]), steps)
    assert list(row.items()) == [("host", "x"), ("Used", 3)]


def test_columns_are_renamed_by_a_pattern():
    """With groups as `$1`."""
    steps = [
        {"id": "renameByRegex", "options": {"regex": "^Value #(.*)$", "renamePattern": "is_$1"}}
    ]
    answers = [(target("n"), [series(1, id="a")]), (target("e"), [series(2, id="b")])]
    nodes, edges = shaped(frames(answers), steps)
    assert nodes[0]["is_n"] == 1
    assert edges[0]["is_e"] == 2


def test_an_answer_without_a_column_that_is_shown_is_no_row():
    """A query whose every column is filtered out adds nothing, not an empty line."""
    answers = [(target("A"), [series(3, host="x")]), (target("always"), [series(1)])]
    steps = [
        {"id": "filterFieldsByName", "options": {"include": {"names": ["Value #A", "host"]}}},
        {"id": "merge", "options": {}},
    ]
    assert shaped(frames(answers), steps) == [[{"host": "x", "Value #A": 3}]]
    assert shaped(frames(answers[1:]), steps) == [[]]

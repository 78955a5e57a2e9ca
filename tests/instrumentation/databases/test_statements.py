"""What a statement is called and shown as."""

import random
import time

import pytest

from gnomon.databases.statements import SHAPE, SUMMARY, name, shape

SYSTEMS = ("postgresql", "mysql", "mariadb", "sqlite", "microsoft.sql_server", "oracle.db", "other")


@pytest.mark.parametrize(
    ("statement", "summary", "operation"),
    [
        ("SELECT * FROM users WHERE id = 4", "SELECT users", "SELECT"),
        ("select a from s.users u, orders o", "SELECT s.users orders", "SELECT"),
        (
            "SELECT 1 FROM a LEFT JOIN b ON a.x = b.x, c WHERE a.f(c, d) = 1",
            "SELECT a b c",
            "SELECT",
        ),
        ("INSERT INTO t (a) SELECT a FROM o", "INSERT t SELECT o", "INSERT"),
        (
            "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2 RETURNING id",
            "INSERT t",
            "INSERT",
        ),
        ("UPDATE t SET a = 1 FROM o WHERE t.i = o.i", "UPDATE t", "UPDATE"),
        ("DELETE FROM t USING o WHERE t.i = o.i", "DELETE t o", "DELETE"),
        (
            "WITH r AS (SELECT * FROM o) SELECT * FROM r JOIN c ON true",
            "SELECT o SELECT c",
            "SELECT",
        ),
        ("SELECT * FROM (SELECT * FROM t) x FOR UPDATE", "SELECT SELECT t", "SELECT"),
        ("SELECT EXTRACT(year FROM d), a IS DISTINCT FROM b FROM t", "SELECT t", "SELECT"),
        ("CREATE TABLE IF NOT EXISTS t (a int)", "CREATE TABLE t", "CREATE"),
        ("DROP INDEX CONCURRENTLY i", "DROP INDEX i", "DROP"),
        ("CREATE USER bob PASSWORD 'x'", "CREATE USER", "CREATE"),
        ("CALL refresh('x')", "CALL refresh", "CALL"),
        ("PRAGMA table_info(t)", "PRAGMA table_info", "PRAGMA"),
        ("SET x = 1", "SET", "SET"),
        ("INSERT INTO t (start, comment, show) VALUES (1, 2, 3)", "INSERT t", "INSERT"),
        ("SELECT max(start), replace(show, 'a', 'b'), (update) FROM t", "SELECT t", "SELECT"),
        ("INSERT INTO t (SELECT a FROM (VALUES (1)) v)", "INSERT t SELECT VALUES", "INSERT"),
        (
            "WITH d AS (DELETE FROM t RETURNING a), k AS (SELECT 1) INSERT INTO o SELECT a FROM d",
            "DELETE t SELECT INSERT o SELECT",
            "INSERT",
        ),
        ("SELECT 1; UPDATE t SET a = 1", "SELECT UPDATE t", "SELECT"),
        ("/* who */ -- what\n SELECT 1", "SELECT", "SELECT"),
        ("BEGIN", "BEGIN", "BEGIN"),
        ("utter nonsense", "_OTHER", "_OTHER"),
        ("", "_OTHER", "_OTHER"),
    ],
)
def test_a_statement_is_called_by_what_it_does_to_what(statement, summary, operation):
    """Verbs and what they act on are the name, as OpenTelemetry's rule has it."""
    assert name(statement, "postgresql") == (summary, operation)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "SELECT  a\nFROM t WHERE b = 'x' AND c IN (1, 2,3) AND d=-1.5e-3 -- why",
            "SELECT a FROM t WHERE b = ? AND c IN (?) AND d = - ?",
        ),
        (
            "INSERT INTO t (a, b) VALUES (%(a)s, %(b)s), (%(c)s, %(d)s)",
            "INSERT INTO t(a, b) VALUES (?)",
        ),
        ("SELECT $1::int, :name, @p, ?, %s FROM t", "SELECT ?::int, ? FROM t"),
        (
            "SELECT count(*) FROM t WHERE j->>'k' = $$v$$",
            "SELECT count(*) FROM t WHERE j ->> ? = ?",
        ),
        ("SET ROLE somebody", "SET"),
        ("gibberish with secrets", "_OTHER"),
    ],
)
def test_a_shape_has_no_literals(statement, expected):
    """Literals, parameters and lists of them are one mark; spaces and comments make no shape."""
    assert shape(statement, "postgresql") == expected


def test_texts_that_differ_in_literals_only_have_one_shape():
    """The length of a list, and the rows of an insert, make no other shape."""
    made = {
        shape(f"SELECT a FROM t WHERE i IN ({', '.join('?' * n)}) AND s = '{n}'", "sqlite")
        for n in range(1, 50)
    }
    made_rows = {
        shape(f"INSERT INTO t VALUES {', '.join(['(?, ?)'] * n)}", "sqlite") for n in range(1, 50)
    }
    assert (len(made), len(made_rows)) == (1, 1)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'hunter2'",
        "SELECT 'it''s hunter2' FROM t",
        r"SELECT 'it\'s hunter2' FROM t WHERE a = 'hunter2'",
        r"SELECT * FROM t WHERE a = 'x\' AND b = 'hunter2'",
        r"SELECT E'\'hunter2' FROM t",
        "SELECT $$hunter2$$, $a$ $$ hunter2 $a$ FROM t",
        "SELECT q'[it's hunter2]' FROM dual",
        "SELECT a /* hunter2 */ FROM t -- hunter2",
        "SELECT a /* /* */ hunter2 */ FROM t",
        "SELECT a FROM t WHERE b = 'x' /* hunter2",
        "SELECT a FROM t WHERE b = 'hunter2",
        "SELECT a FROM t WHERE b = N'hunter2' AND c = X'AB' AND d = _utf8'hunter2'",
        "SELECT a FROM t; SET PASSWORD = 'hunter2'",
        "CREATE USER hunter2 IDENTIFIED BY 'hunter2'",
        "SET SESSION password TO hunter2",
        "PRAGMA key = hunter2",
        "hunter2 hunter2",
        "SELECT a FROM t WHERE b = '" + "x" * 20000 + "hunter2'",
    ],
)
def test_no_literal_is_shown_whatever_the_quotes(system, statement):
    """Neither name nor shape holds a literal or a comment, in whatever dialect it was meant."""
    told = f"{name(statement, system)} {shape(statement, system)}"
    assert "hunter2" not in told


@pytest.mark.parametrize("system", ["mysql", "mariadb", "other"])
def test_two_dashes_may_be_a_sum(system):
    """Where dashes without a space are no comment, a quote behind them opens a literal."""
    assert "hunter2" not in shape("SELECT 5--1, 'x\n hunter2' FROM t", system)


@pytest.mark.parametrize("system", ["mysql", "mariadb", "sqlite", "microsoft.sql_server", "other"])
def test_double_quotes_hide_what_may_be_a_literal(system):
    """Where double quotes may hold a literal, they are shown around names only."""
    shown = shape('SELECT "t"."a" FROM t WHERE a = "hunter2"', system)
    assert "hunter2" not in shown
    assert shape('SELECT "t"."a" FROM t WHERE a = "b c"', "postgresql").endswith('a = "b c"')


def test_no_mixture_of_quotes_shows_a_literal():
    """Of many thousand statements made of quotes by chance, none shows what stands in them.

    A literal is closed and opened in each way that some dialect has; the secret stands where that
    dialect, and so the statement's author, has a literal.
    """
    chance = random.Random(7)
    pieces = ("'", "''", '"', '""', "\\", "\\'", "$$", "$a$", "/*", "*/", "--", "\n", " ", "x", ",")

    def filling(without):
        made = "".join(chance.choice(pieces) for _ in range(chance.randrange(6)))
        for each in without:
            made = made.replace(each, "")
        return made

    for _ in range(5000):
        standard = f"'{filling(chr(39))}hunter2{filling(chr(39))}'"
        mysql = f"'{filling(chr(39) + chr(92))}\\'hunter2{filling(chr(39) + chr(92))}'"
        dollar = f"$q$ {filling('$')} hunter2 {filling('$')} $q$"
        for system, literal in (
            ("postgresql", standard),
            ("postgresql", dollar),
            ("sqlite", standard),
            ("mysql", mysql),
            ("mariadb", mysql.replace("'", '"')),
        ):
            statement = f"SELECT a FROM t WHERE b = {literal} AND c = {literal}"
            assert "hunter2" not in shape(statement, system), (system, statement)
            assert "hunter2" not in name(statement, system).summary, (system, statement)


def test_what_is_long_is_cut_and_read_in_linear_time():
    """A statement of megabytes has a short name and shape, and costs no more than its beginning."""
    statements = [
        "SELECT a FROM t WHERE i IN (" + ", ".join(map(str, range(200_000))) + ")",
        "SELECT " + ", ".join(f"t.column_{n}" for n in range(100_000)) + " FROM t",
        "SELECT " + "$a$b" * 100_000,
        "SELECT " + "'" * 300_001,
        "SELECT " + "(" * 300_000,
        "SELECT " + "a." * 200_000,
    ]
    began = time.thread_time()
    for statement in statements:
        for system in ("postgresql", "mysql"):
            assert len(name(statement, system).summary) <= SUMMARY
            assert len(shape(statement, system)) <= SHAPE
    assert time.thread_time() - began < 30

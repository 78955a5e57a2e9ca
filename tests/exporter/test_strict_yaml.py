"""Strict YAML: what is taken, and the words for each mistake."""

import pytest

from gnomon_exporter.strict_yaml import (
    BOOL,
    DURATION,
    FLOAT,
    INT,
    SECRET,
    SIZE_LIMIT,
    TEXT,
    TEXTS,
    ConfigError,
    list_of,
    load,
    one_of,
    parse,
)


def read(text):
    """Parse a text as the file web.yml."""
    return parse(text.encode(), "web.yml")


def complaint(action, *arguments):
    """Call and return the text of the ConfigError that comes."""
    with pytest.raises(ConfigError) as caught:
        action(*arguments)
    return str(caught.value)


def test_gives_each_kind_of_value():
    """Booleans, numbers, texts, lists, durations, nested mappings and defaults."""
    top = read(
        """
        on: true
        count: -3
        ratio: 1e-3
        name: gnomon
        names: [a, "b c"]
        numbers: [1, 2]
        every: 1m30s
        colour: red
        below: {deeper: {x: 1}}
        rules:
          - {path: /a}
          - path: /b
        """
    )
    assert top.take("on", BOOL) is True
    assert top.take("count", INT) == -3
    assert top.take("ratio", FLOAT) == 0.001
    assert top.take("name", TEXT) == "gnomon"
    assert top.take("names", TEXTS) == ["a", "b c"]
    assert top.take("numbers", list_of(INT)) == [1, 2]
    assert top.take("every", DURATION) == 90.0
    assert top.take("colour", one_of("red", "green")) == "red"
    assert top.section("below").section("deeper").take("x", INT) == 1
    assert [rule.take("path", TEXT) for rule in top.sections("rules")] == ["/a", "/b"]
    assert top.take("absent", INT, 7) == 7
    assert top.take("absent_too", TEXT, None) is None
    assert not top.section("nowhere")
    assert top.sections("nothing") == []
    top.finish()


def test_gives_the_users_own_names():
    """A mapping whose keys the user chose comes as a dictionary, numbers as they stand."""
    users = read("users: {alice: secret, 12: other}").section("users")
    assert users.take_each(SECRET) == {"alice": "secret", "12": "other"}
    assert list(users) == ["alice", "12"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("250us", 0.00025),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("10s", 10),
        ("1d12h", 129600),
        ("2w", 1209600),
    ],
)
def test_understands_durations(text, seconds):
    """A duration is numbers with units, or the 0 that needs none."""
    assert read(f"every: {text}").take("every", DURATION) == pytest.approx(seconds)


def test_takes_a_text_as_it_stands():
    """What YAML 1.1 would make a boolean, a number or a date stays the text that was written."""
    top = read("country: no\nprotection: 0\nday: 2026-01-31\nhex: 0x1F")
    names = ("country", "protection", "day", "hex")
    assert [top.take(name, TEXT) for name in names] == ["no", "0", "2026-01-31", "0x1F"]


def test_an_empty_file_is_an_empty_section(tmp_path):
    """Nothing, blanks, comments and a lone null hold no key, and nothing is wrong with them."""
    for text in ("", "  \n\n", "# a comment\n", "---\n", "null\n", "\ufeff"):
        (tmp_path / "empty.yml").write_text(text)
        top = load(str(tmp_path / "empty.yml"))
        assert list(top) == []
        top.finish()


def test_a_key_without_a_value_is_as_if_absent():
    """``key:`` gives the default, and counts as known."""
    top = read("name:\nbelow:\nrules: ~\n")
    assert "name" in top
    assert top.take("name", TEXT, "default") == "default"
    assert not top.section("below")
    assert top.sections("rules") == []
    top.finish()


def test_names_an_unknown_key_and_its_neighbour():
    """File, line, the nearest known key and all known ones."""
    top = read("listen: 1\n\nlog_levle: info\n")
    top.take("listen", INT)
    top.take("log_level", TEXT, "info")
    assert complaint(top.finish) == (
        "web.yml:3: log_levle: unknown key (did you mean log_level?); "
        "expected one of listen, log_level"
    )


def test_names_an_unknown_key_below():
    """The path tells the section; one call to finish covers them all."""
    top = read("tls:\n  cert: a\n  ky: b\n")
    top.section("tls").take("cert", TEXT)
    assert complaint(top.finish) == "web.yml:3: tls.ky: unknown key; expected one of cert"


def test_names_an_unknown_key_in_a_list():
    """A list's item is told by its number."""
    top = read("rules:\n- path: a\n- pth: b\n")
    for rule in top.sections("rules"):
        rule.take("path", TEXT, "")
    assert complaint(top.finish) == (
        "web.yml:3: rules[1].pth: unknown key (did you mean path?); expected one of path"
    )


def test_refuses_everything_where_nothing_is_known():
    """A section that is not read may not hold anything."""
    assert complaint(read("a: 1").finish) == "web.yml:1: a: unknown key; expected nothing here"


def test_says_what_is_missing():
    """A required key that is absent or empty, at the line of its section."""
    section = read("a: 1\ntls:\n  cert:\n").section("tls")
    assert complaint(section.take, "key", TEXT) == "web.yml:2: tls.key: missing; expected a text"
    assert complaint(section.take, "cert", TEXT) == "web.yml:3: tls.cert: no value; expected a text"
    assert complaint(section.take_each, TEXT) == "web.yml:3: tls.cert: no value; expected a text"


@pytest.mark.parametrize(
    ("value", "kind", "problem"),
    [
        ("maybe", BOOL, "'maybe'; expected true or false"),
        ('"true"', BOOL, "'true'; expected true or false"),
        ("1", BOOL, "'1'; expected true or false"),
        ("1.5", INT, "'1.5'; expected a whole number"),
        ("0x10", INT, "'0x10'; expected a whole number"),
        ("1:30", INT, "'1:30'; expected a whole number"),
        ('"3"', INT, "'3'; expected a whole number"),
        ("9" * 19, INT, f"'{'9' * 19}'; expected a whole number"),
        ("yes", INT, "'yes'; expected a whole number"),
        ("many", FLOAT, "'many'; expected a number"),
        (".inf", FLOAT, "'.inf'; expected a number"),
        (".nan", FLOAT, "'.nan'; expected a number"),
        ("1e999", FLOAT, "'1e999'; expected a number"),
        ("[1]", TEXT, "a list; expected a text"),
        ("{a: 1}", TEXT, "a mapping; expected a text"),
        ("x" * 100, INT, f"'{'x' * 60}…'; expected a whole number"),
        (
            "10",
            DURATION,
            "'10'; expected a duration with its unit, such as 10s, 500ms or 1m30s",
        ),
        (
            "10 parsecs",
            DURATION,
            "'10 parsecs'; expected a duration with its unit, such as 10s, 500ms or 1m30s",
        ),
        (
            "-1s",
            DURATION,
            "'-1s'; expected a duration with its unit, such as 10s, 500ms or 1m30s",
        ),
        (
            "gren",
            one_of("red", "green"),
            "'gren' (did you mean green?); expected one of red, green",
        ),
        (
            "text",
            TEXTS,
            "'text'; expected a list (lines that start with -), each a text",
        ),
        (
            "[a, [b]]",
            TEXTS,
            "item 2: a list; expected a list (lines that start with -), each a text",
        ),
        (
            "[a, ~]",
            TEXTS,
            "item 2: no value; expected a list (lines that start with -), each a text",
        ),
    ],
)
def test_names_a_value_of_the_wrong_kind(value, kind, problem):
    """File, line, key, the value and the rule."""
    assert complaint(read(f"\nkey: {value}").take, "key", kind) == f"web.yml:2: key: {problem}"


def test_names_a_value_that_should_have_keys():
    """A text or a list where a mapping is expected, and the other way round."""
    top = read("a: 1\nb: {c: 1}\nd: [1]")
    assert complaint(top.section, "a") == (
        "web.yml:1: a: not a mapping; expected keys with values below it"
    )
    assert complaint(top.sections, "b") == (
        "web.yml:2: b: not a list; expected a list of mappings (lines that start with -)"
    )
    assert complaint(top.sections, "d") == (
        "web.yml:3: d[0]: not a mapping; expected a list of mappings (lines that start with -)"
    )


def test_the_readers_own_complaint_has_the_place():
    """What only the reader can judge is said with the same file, line and path."""
    section = read("tls:\n  cert: /nowhere").section("tls")
    assert str(section.error("cert", "no such file", "a PEM file")) == (
        "web.yml:2: tls.cert: no such file; expected a PEM file"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: 1\nb: 2\na: 3\n",
            "web.yml:3: a: given twice, first in line 1; expected each key once",
        ),
        ("- a\n- b\n", "web.yml:1: not a mapping; expected keys with values"),
        ("just words", "web.yml:1: not a mapping; expected keys with values"),
        ("a:\n\tb: 1\n", "web.yml:2: a tab in the indentation; expected spaces"),
        ("? [a]\n: 1\n", "web.yml:1: a key that is a list or a mapping; expected a text"),
        (
            "a: b: c\n",
            (
                "web.yml:1: a colon where no key can be; expected one key a line, indented like "
                "its neighbours; quotes around a text with ': '"
            ),
        ),
        (
            "password: *hunter2\n",
            "web.yml:1: a value that starts with *; expected quotes around such a text",
        ),
        ("a: 1\n---\nb: 2\n", "web.yml:2: a second document (after ---); expected one document"),
        ("a: 1\nb: \x07\n", "web.yml:2: a control character; expected printable text"),
        ("a: 'open\n", "web.yml:2: not YAML: found unexpected end of stream"),
        ("a: [1, 2\nb: 3\n", "web.yml:2: not YAML: expected ',' or ']', but got ':'"),
        ("[" * 5000, "web.yml:1: nested too deeply; expected a handful of levels"),
    ],
)
def test_puts_broken_yaml_into_words(text, message):
    """The line, and what is wrong in it, without the line's text."""
    assert complaint(read, text) == message


def test_names_a_duplicate_key_below():
    """A repeated key is an error at every level."""
    top = read("tls:\n  cert: a\n  cert: b\n")
    assert complaint(top.section, "tls") == (
        "web.yml:3: tls.cert: given twice, first in line 2; expected each key once"
    )


def test_refuses_bytes_that_are_not_text():
    """Latin-1 and binary files are named, with the line."""
    assert complaint(parse, b"a: 1\nb: \xe9\n", "web.yml") == (
        "web.yml:2: not UTF-8; expected text in UTF-8"
    )


def test_refuses_a_file_that_cannot_be_read(tmp_path):
    """The system's reason, without a line."""
    path = str(tmp_path / "absent.yml")
    assert complaint(load, path) == f"{path}: cannot be read: No such file or directory"
    assert complaint(load, str(tmp_path)) == f"{tmp_path}: cannot be read: Is a directory"


def test_refuses_a_huge_file(tmp_path):
    """A log file given by mistake is not read into memory."""
    path = tmp_path / "huge.yml"
    path.write_bytes(b"#" * (SIZE_LIMIT + 1))
    assert complaint(load, str(path)) == (f"{path}: larger than 4 MiB; expected a configuration")


@pytest.mark.parametrize(
    "text",
    [
        "password: [hunter2]",
        "password: {a: hunter2}",
        "password: {hunter2: {a: b}}",
        "password: *hunter2",
        "password: !hunter2 x y: z",
        "password: 'hunter2",
        "password: hunter2: x",
        "password: &hunter2 &hunter2 x",
        "password: %hunter2",
        "password: @hunter2",
        'password: "\\hunter2"',
        "password: [hunter2",
        "\tpassword: hunter2",
    ],
)
def test_no_message_shows_a_secret(text):
    """Neither a wrong kind nor broken YAML brings a password into the log."""

    def take():
        top = read(text)
        top.take("password", SECRET)

    assert "hunter2" not in complaint(take)


def test_shows_no_item_of_a_secret_list():
    """A list of secrets keeps them too."""
    with pytest.raises(ConfigError) as caught:
        read("tokens: [{hunter2: x}]").take("tokens", list_of(SECRET))
    assert "hunter2" not in str(caught.value)


def test_aliases_are_not_expanded():
    """A file that repeats itself a billion times, or holds itself, is read at once."""
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    top = read(bomb)
    assert complaint(top.take, "i", TEXTS).startswith("web.yml:9: i: item 1: a list;")
    itself = read("me: &me [*me]")
    assert complaint(itself.take, "me", TEXTS).startswith("web.yml:1: me: item 1: a list;")


def test_needs_pyyaml_only_for_a_file(monkeypatch):
    """Without PyYAML the message names the extra that brings it."""
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    assert complaint(read, "a: 1") == (
        "web.yml: PyYAML is not installed; reinstall gnomon with its extra 'exporter'"
    )

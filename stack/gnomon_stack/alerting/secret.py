"""Secrets: from a file that nobody else may read, or from alerting.yml itself."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gnomon_exporter.strict_yaml import SECRET, TEXT
from gnomon_stack.alerting.reader import Reader
from gnomon_stack.trouble import Trouble

#: Where a secret is looked for that nobody has said; from the checkout's root.
FOLDER = Path("alertmanager/secrets")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, or the absence of one.

    name: the file it is kept in. text: "" where there is none. looked: the file that would be it.
    """

    name: str
    text: str
    looked: str

    @property
    def lacking(self) -> str:
        """The file that would have to be there; "" where there is a secret."""
        return "" if self.text else self.looked

    def __repr__(self) -> str:
        return f"Secret({self.name!r}, {'…' if self.text else 'missing'})"


class Secrets:
    """Finds the secrets of a checkout."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def take(
        self,
        reader: Reader,
        key: str,
        name: str,
        *,
        default: Secret | None,
        check: Callable[[str], str],
    ) -> Secret:
        """Return what KEY says, or the file that KEY_file names, or alertmanager/secrets/NAME.

        default: what holds where nothing of the three is there. check: returns what is wrong with
        a secret's text, without showing it.
        """
        text = reader.take(key, SECRET, "").strip()
        said = reader.take(f"{key}_file", TEXT, "")
        if text and said:
            raise reader.error(key, f"both {key} and {key}_file are given", "one of them")
        looked = said or str(FOLDER / name)
        if text:
            if problem := check(text):
                raise reader.error(key, problem)
            return Secret(name, text, looked)
        path = self._root / Path(looked).expanduser()
        if default is not None and not said and not os.path.lexists(path):
            return default
        text = _read(path, looked)
        if text and (problem := check(text)):
            raise Trouble(f"{looked} {problem}", code=2)
        return Secret(name, text, looked)


def refuse_open(path: Path, shown: str) -> None:
    """Raise Trouble where anybody but the owner may read the file."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise Trouble(f"{shown} is open to others (mode {mode:04o}): chmod 600 {shown}", code=2)


def url_problem(text: str) -> str:
    """Return what is wrong with a secret address."""
    if not text.isprintable() or " " in text:
        return "has spaces or control characters; expected one URL"
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    return "" if good else "is no URL; expected http://… or https://…"


def word_problem(text: str) -> str:
    """Return what is wrong with a key or token."""
    return "" if text.isprintable() and " " not in text else "has spaces or control characters"


def line_problem(text: str) -> str:
    """Return what is wrong with a password."""
    return "" if text.isprintable() else "has control characters; expected one line"


def _read(path: Path, shown: str) -> str:
    """Return a secret file's text without white space around it; "" where there is no file."""
    try:
        refuse_open(path, shown)
        text = path.read_text().strip()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise Trouble(f"{shown} is no text; expected one line", code=2) from None
    except OSError as error:
        raise Trouble(f"{shown} cannot be read: {error.strerror}", code=2) from None
    if not text:
        raise Trouble(f"{shown} is empty: put the secret into it, or remove it", code=2)
    return text

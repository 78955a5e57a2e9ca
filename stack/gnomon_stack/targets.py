"""The files in which Prometheus discovers what to scrape: one for each target, named after it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlencode, urlsplit, urlunsplit

import yaml

from gnomon_stack.configs import replace_file
from gnomon_stack.trouble import Trouble

JOB = "application"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_SECRET = re.compile(r"token|passw|secret|api_?key", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """What one file says: addresses (host and port) and the labels that all of them get."""

    name: str
    addresses: tuple[str, ...]
    labels: dict[str, str]

    @property
    def service(self) -> str:
        """Whose target it is; prometheus.yml gives it the file's name where the file is silent."""
        return self.labels.get("service", self.name)

    @property
    def urls(self) -> list[str]:
        """The addresses at which Prometheus scrapes."""
        scheme = self.labels.get("__scheme__", "http")
        path = self.labels.get("__metrics_path__", "/metrics")
        marker = "__param_"
        query = urlencode(
            {k.removeprefix(marker): v for k, v in self.labels.items() if k.startswith(marker)}
        )
        return [urlunsplit((scheme, address, quote(path), query, "")) for address in self.addresses]

    @property
    def visible(self) -> dict[str, str]:
        """The labels that its series carry, besides `service` and those that tell how to scrape."""
        return {k: v for k, v in self.labels.items() if not k.startswith("__") and k != "service"}


def parse(name: str, url: str, service: str | None, labels: Iterable[str] = ()) -> Target:
    """Return the target called ``name`` at ``url``, with further labels given as ``KEY=VALUE``.

    Raise Trouble for what Prometheus could not scrape or should not be told.
    """
    if not _NAME.fullmatch(name) or name.endswith(".yml"):
        raise _refused(
            f"{name!r} cannot name a target: expected letters, digits, '_', '.' or '-', and no .yml"
        )
    parts = _split(url)
    found = {"service": name if service is None else service, **_where(parts)}
    for text in labels:
        label, equals, value = text.partition("=")
        if not equals or not _LABEL.fullmatch(label) or label.startswith("__"):
            raise _refused(
                f"--label {text}: expected NAME=VALUE, the name of letters, digits and '_'"
            )
        if label in {"job", "service"}:
            remedy = "use --service" if label == "service" else f"all targets have job {JOB!r}"
            raise _refused(f"--label {text}: {remedy}")
        found[label] = value
    for label, value in found.items():
        if not value.strip() or not value.isprintable():
            raise _refused(f"the value of {label} is empty or has control characters: {value!r}")
    # The port is always written, for `instance` shows it, and not every Prometheus adds it.
    return Target(name, (f"{_host(parts)}:{parts.port or _PORTS[parts.scheme]}",), found)


def load(folder: Path) -> tuple[list[Target], list[str]]:
    """Return all targets of ``folder`` by name, and a line for each file that cannot be read."""
    targets, unreadable = [], []
    for path in sorted(folder.glob("*.yml")):
        try:
            groups = yaml.safe_load(path.read_text()) or []
            for group in groups:
                labels = {str(k): str(v) for k, v in (group.get("labels") or {}).items()}
                addresses = tuple(str(address) for address in group["targets"])
                targets.append(Target(path.stem, addresses, labels))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError, AttributeError):
            unreadable.append(f"{path} is no list of targets: Prometheus ignores it")
    return targets, unreadable


def add(folder: Path, target: Target, *, replace: bool = False) -> Path:
    """Write the target's file for Prometheus to find; return its path.

    Raise Trouble where the name is taken, or where another target would give the same series.
    """
    path = folder / f"{target.name}.yml"
    if path.exists() and not replace:
        raise Trouble(f"target {target.name!r} is there already: --replace writes it anew")
    for other in load(folder)[0]:
        if other.name != target.name and _same_series(other, target):
            raise Trouble(
                f"target {other.name!r} already gives series of service {target.service!r} at "
                f"{target.addresses[0]}: choose another --service, or tell them apart by --label"
            )
    folder.mkdir(parents=True, exist_ok=True)
    group = {"targets": list(target.addresses), "labels": target.labels}
    replace_file(path, yaml.safe_dump([group], sort_keys=False, allow_unicode=True))
    return path


def remove(folder: Path, name: str) -> None:
    """Delete a target's file; raise Trouble with the names that there are where it is missing."""
    path = folder / f"{name}.yml"
    if not _NAME.fullmatch(name) or not path.is_file():
        names = ", ".join(sorted({target.name for target in load(folder)[0]})) or "none"
        raise Trouble(f"there is no target {name!r}; there is: {names}")
    path.unlink()


def _split(url: str) -> SplitResult:
    """Return the parts of ``url``, of which host and scheme are such that they can be scraped.

    Messages do not repeat the address, for a password may be anywhere in a mistyped one.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _refused(
            "the address's host or port is wrong: expected http://HOST:PORT/PATH"
        ) from None
    if "@" in url:
        raise _refused(
            "the address carries a user name or password, and target files are shown to everyone "
            "who sees Prometheus: write a scrape job with `basic_auth` and `password_file` in "
            "prometheus/prometheus.yml"
        )
    if parts.scheme not in _PORTS or not _HOST.fullmatch(_host(parts)) or port == 0:
        raise _refused(f"{url!r} cannot be scraped: expected http://HOST:PORT/PATH or https://…")
    if parts.fragment or not url.isprintable() or " " in url:
        raise _refused(f"{url!r} cannot be scraped: it has a space, control character or '#'")
    return parts


def _host(parts: SplitResult) -> str:
    """Return the host as written, an IPv6 address in its brackets."""
    return parts.netloc.removesuffix(f":{parts.port}").removesuffix(":")


def _where(parts: SplitResult) -> dict[str, str]:
    """Return the labels that say how to scrape, as far as they differ from Prometheus' defaults."""
    labels = {}
    if parts.scheme != "http":
        labels["__scheme__"] = parts.scheme
    if parts.path not in {"", "/", "/metrics"}:
        labels["__metrics_path__"] = unquote(parts.path)
    for key, values in parse_qs(parts.query, keep_blank_values=True).items():
        if _SECRET.search(key):
            raise _refused(
                f"parameter {key!r} of the address looks like a secret, and target files are shown "
                "to everyone who sees Prometheus: write a scrape job with `authorization` in "
                "prometheus/prometheus.yml"
            )
        if not _LABEL.fullmatch(key) or len(values) > 1:
            raise _refused(
                f"parameter {key!r} of the address cannot stand in a target file: "
                "write a scrape job with `params` in prometheus/prometheus.yml"
            )
        labels[f"__param_{key}"] = values[0]
    return labels


def _same_series(one: Target, other: Target) -> bool:
    """Whether both targets' series would carry the same labels and so be mixed into one."""
    return (
        bool(set(one.addresses) & set(other.addresses))
        and one.service == other.service
        and one.visible == other.visible
    )


def _refused(message: str) -> Trouble:
    return Trouble(message, code=2)

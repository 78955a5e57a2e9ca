"""The images' recipes: what they are made of, and as whom they run."""

import re
import tomllib

import pytest

import servers

FOLDER = servers.ROOT / "packaging"
NAMES = sorted(path.name for path in FOLDER.glob("*.Dockerfile"))


def _text(name):
    """Return a recipe without comments, with its lines joined."""
    lines = (FOLDER / name).read_text().splitlines()
    kept = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return kept.replace("\\\n", " ")


def test_there_is_one_for_each_image():
    """Those that docker-compose.yml builds."""
    built = re.findall(
        r"packaging/(\S+)$", (servers.ROOT / "docker-compose.yml").read_text(), re.MULTILINE
    )
    assert sorted(set(built) & set(NAMES)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_base_is_one_version(name):
    """Of Python, to the last number, in both stages, and the same one in all images."""
    text = _text(name)
    base = re.search(r"^ARG PYTHON=(.+)$", text, re.MULTILINE)[1]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PYTHON}"] * 2
    assert base in (FOLDER / NAMES[0]).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_as_a_number_that_is_not_roots(name):
    """A runtime that refuses root can see that this is none."""
    last = _text(name).rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.+)$", last, re.MULTILINE) == ["65534:65534"]


@pytest.mark.parametrize("name", NAMES)
def test_what_runs_cannot_install(name):
    """Neither pip nor a compiler is left, nothing is fetched but by constraints, nothing cached."""
    text = _text(name)
    assert not re.search(r"^ADD |curl |wget |sudo |apt-get|chmod 777|:latest", text, re.MULTILINE)
    for line in re.findall(r"^RUN .*pip install.*$", text, re.MULTILINE):
        assert "--no-cache-dir" in line
        assert "--constraint constraints.txt" in line
    # What installs goes with the last of it.
    [*_, end] = re.findall(r"^RUN .*$", text, re.MULTILINE)
    assert "pip uninstall --quiet --yes pip setuptools" in end
    last = text.rpartition("\nFROM ")[2]
    assert "RUN" not in last
    # Words, not a shell's line: signals reach the program.
    assert re.search(r"^ENTRYPOINT \[", last, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_all_that_the_image_is_made_of_is_in_the_context(name):
    """Each COPY from the checkout exists; the ignore file lets it through, and nothing else."""
    let_through = set(
        re.findall(r"^!(.+)$", (FOLDER / f"{name}.dockerignore").read_text(), re.MULTILINE)
    )
    copied = set()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", _text(name), re.MULTILINE):
        copied |= set(sources.split())
    assert copied == let_through
    assert all((servers.ROOT / source).exists() for source in copied)
    # Without this folder the build cannot tell the version.
    version = tomllib.loads((servers.ROOT / "pyproject.toml").read_text())["tool"]["hatch"][
        "version"
    ]
    assert version["path"].split("/")[0] in copied

"""What the kernel counts about NFS: names of procedures, lines of statistics."""

from collections.abc import Iterator, Mapping, Sequence

from gnomon_exporter.reading import fields

# node_exporter's names, in the order of the procedures' numbers (RFC 1094 and RFC 1813).
V2 = (
    "Null GetAttr SetAttr Root Lookup ReadLink Read WrCache Write Create Remove Rename Link "
    "SymLink MkDir RmDir ReadDir FsStat"
)
V3 = (
    "Null GetAttr SetAttr Lookup Access ReadLink Read Write Create MkDir SymLink MkNod Remove "
    "RmDir Rename Link ReadDir ReadDirPlus FsStat FsInfo PathConf Commit"
)


def statistics(path: str) -> dict[str, list[str]]:
    """Return the numbers of each line of a file below /proc/net/rpc, by its first word.

    Raises OSError.
    """
    return {name: numbers for name, *numbers in fields(path)}


def calls(
    lines: Mapping[str, Sequence[str]], line: str, procedures: str
) -> Iterator[tuple[str, int]]:
    """Yield each procedure of a line and how often it was called.

    procedures: their names in order, "-" for one that is not reported. Those that this kernel
    does not have are left out.
    """
    counts = lines.get(line, ())[1:]  # the first number says how many follow
    for procedure, count in zip(procedures.split(), counts, strict=False):
        if procedure != "-":
            yield procedure, int(count)

"""Where the circles of a map stand: in columns, each to the right of what leads to it."""

from collections.abc import Iterable, Sequence

#: Rounds of putting each node beside its neighbours; more of them hardly change anything.
_ROUNDS = 6


def columns(nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return the nodes in columns from left to right, each column from top to bottom.

    The same nodes and edges always give the same places, so a map that is asked for again stays
    as it is. An edge that closes a circle, and one to a node that is not there, moves nothing.
    """
    known = sorted(set(nodes))
    leads: dict[str, list[str]] = {node: [] for node in known}
    for source, target in sorted(set(edges)):
        if source in leads and target in leads and source != target:
            leads[source].append(target)
    depth = _depths(leads)
    found: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for node in known:
        found[depth[node]].append(node)
    beside: dict[str, list[str]] = {node: list(targets) for node, targets in leads.items()}
    for source, targets in leads.items():
        for target in targets:
            beside[target].append(source)
    for _ in range(_ROUNDS):
        place = {node: (n + 0.5) / len(column) for column in found for n, node in enumerate(column)}
        for column in found:
            column.sort(key=lambda node: (_middle(beside[node], place, place[node]), node))
    return found


def _depths(leads: dict[str, list[str]]) -> dict[str, int]:
    """Return how many edges lead to each node at most, without those that close a circle."""
    called = {target for targets in leads.values() for target in targets}
    order: list[str] = []
    done: set[str] = set()
    closing: set[tuple[str, str]] = set()
    # What nobody calls first: in a circle, the edge back to it is then the one that closes it.
    for start in sorted(leads, key=lambda node: (node in called, node)):
        way, open_ = [(start, iter(leads[start]))], {start}
        if start in done:
            continue
        while way:
            node, rest = way[-1]
            for target in rest:
                if target in open_:
                    closing.add((node, target))
                elif target not in done:
                    way.append((target, iter(leads[target])))
                    open_.add(target)
                    break
            else:
                way.pop()
                open_.discard(node)
                done.add(node)
                order.append(node)
    depth = dict.fromkeys(leads, 0)
    for node in reversed(order):
        for target in leads[node]:
            if (node, target) not in closing:
                depth[target] = max(depth[target], depth[node] + 1)
    return depth


def _middle(neighbours: Sequence[str], place: dict[str, float], own: float) -> float:
    return sum(place[each] for each in neighbours) / len(neighbours) if neighbours else own

"""What the processes of the tests do with a watched queue; spawned ones import it by its name."""

import gnomon

#: Seconds for anything that another process has to do.
PATIENCE = 60


def priority(item):
    """Tell an item's priority, in any process."""
    return "high" if item < 10 else "low"


def put_some(queue, numbers):
    """Put numbers."""
    for number in numbers:
        queue.put(number)


def echo(queue, answers):
    """Send back what is taken, with how long it waited, until there is a None."""
    while True:
        with gnomon.take(queue, worker="w", timeout=PATIENCE) as taken:
            answers.put((taken.item, taken.waited))
            if taken.item is None:
                return

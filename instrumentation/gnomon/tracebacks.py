"""An application's tracebacks, without the frames that this package adds below its pass."""

import sys


def shorten(error: BaseException) -> None:
    """Take the frames that drive coroutines out of an exception's traceback. Never raises."""
    ledger = sys.modules.get("gnomon.usage.ledger")
    last = error.__traceback__
    if ledger is None or last is None:
        return
    code = ledger.driven.__code__
    while (below := last.tb_next) is not None:
        if below.tb_frame.f_code is code:
            last.tb_next = below.tb_next
        else:
            last = below

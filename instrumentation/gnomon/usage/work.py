"""One piece of work from its beginning to its end, and what is done with its numbers then."""

from __future__ import annotations

import contextlib
import uuid
from time import perf_counter
from typing import TYPE_CHECKING

from gnomon import guard
from gnomon.errors import error_type
from gnomon.usage import files, gpu, recorded, turns
from gnomon.usage.ledger import Ledger, current, step
from gnomon.usage.sampler import sampler

if TYPE_CHECKING:
    from gnomon.usage.piece import Usage


class Work:
    """One piece of work from its beginning to its end; nothing here raises."""

    def __init__(self, usage: Usage, log_dir: str | None) -> None:
        self._usage = usage
        self._log_dir = log_dir
        self._begun = False
        self._alone: contextlib.AbstractContextManager[None] | None = None

    def begin_dependency(self) -> Usage:
        """Begin something that may end only after the response, and the request's span."""
        usage = self.begin()
        ledger = current()
        if ledger is not None:
            ledger.root().at_response.append(self._describe)
        return usage

    def begin(self, *, named: bool = True) -> Usage:
        """Begin. named: whether it is what ``current_usage`` returns until it ends."""
        try:
            recorded.active(self._usage.name).add(1)
            self._begun = True
            self._usage.begin(self._ledger(), named=named)
        except Exception:
            guard.failed("usage")
        return self._usage

    def _ledger(self) -> Ledger | None:
        """Return the ledger that counts this block's own CPU seconds, if one can."""
        ledger = current()
        if ledger is not None and ledger.here():
            return ledger
        if turns.taken():
            return None
        # Nothing else runs in this thread before the block ends: all of it is one step.
        ledger = Ledger(ledger)
        self._alone = step(ledger)
        self._alone.__enter__()
        return ledger

    def end(self, error: BaseException | None, ledger: Ledger | None = None) -> None:
        """End. ledger: the one to count by, if this is not called in one of its steps."""
        question = self._ended(ledger)
        try:
            sampler().gpus.wait(question)
        except Exception:
            guard.failed("usage")
        self._finish(error)

    async def end_async(self, error: BaseException | None, ledger: Ledger | None = None) -> None:
        """End as ``end`` does, and let others run while the GPUs are waited for."""
        question = self._ended(ledger)
        try:
            gpus, deadline = sampler().gpus, perf_counter() + gpu.DEADLINE
            # An exception, a cancellation above all, is passed on at once.
            while error is None and not gpus.settled(question) and perf_counter() < deadline:
                await turns.nap()
        finally:
            self._finish(error)

    def _ended(self, ledger: Ledger | None) -> int:
        try:
            with contextlib.nullcontext() if ledger is None else step(ledger):
                return self._usage.end()
        except Exception:
            guard.failed("usage")
            return 0
        finally:
            if self._alone is not None:
                alone, self._alone = self._alone, None
                alone.__exit__(None, None, None)

    def _finish(self, error: BaseException | None) -> None:
        usage = self._usage
        try:
            usage.finish()
            if self._begun:
                recorded.active(usage.name).add(-1)
            recorded.record(usage, error)
        except Exception:
            guard.failed("usage")
        self._describe()
        try:
            if self._log_dir is not None:
                if usage.file_id is None:
                    usage.file_id = uuid.uuid4().hex
                document = files.content(usage, None if error is None else error_type(error))
                files.write(self._log_dir, str(usage.file_id), document)
        except Exception:
            guard.failed("usage file")

    def _describe(self) -> None:
        try:
            recorded.describe_span(self._usage)
        except Exception:
            guard.failed("usage of a span")

"""What request bodies hold in memory, of all requests together: counted in bytes really held.

A count of requests would do neither: few large bodies fill the memory, and many small ones that
drip a byte at a time would fill the count.
"""

from types import TracebackType
from typing import Self

from victim_service.errors import Refusal


class HeldBytes:
    """The bytes that all bodies hold; used from the event loop only."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def hold(self) -> "Hold":
        """Return the share of one request, to be used as a context manager."""
        return Hold(self)


class Hold:
    """The bytes that one request holds, let go at the end of the block."""

    def __init__(self, all_held: HeldBytes) -> None:
        self._all = all_held
        self._mine = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._all.held -= self._mine
        self._mine = 0

    def add(self, count: int) -> None:
        """Hold ``count`` bytes more.

        Raises:
            Refusal: queue-full, when all bodies together would hold too many.
        """
        if self._all.held + count > self._all.limit:
            raise Refusal(
                "queue-full",
                "The service holds as many bytes as it takes. Retry after the time named.",
                retry_after_s=1.0,
                headers={"Connection": "close"},
            )
        self._all.held += count
        self._mine += count

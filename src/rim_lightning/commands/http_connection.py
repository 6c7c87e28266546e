"""A connection of a server of this program: how many there are, and how long a request may take to begin."""

from __future__ import annotations

import asyncio
from typing import cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 120  # each is an open file, of which some systems allow 256
SECONDS_TO_BEGIN = 20  # in which the lines above the body of a request must arrive


class PromptConnection(H11Protocol):
    """A connection that is closed if no request begins on it, or if there are too many.

    Otherwise programs that ask nothing could keep all others away, without a key.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; or end at once if there are too many connections."""
        super().connection_made(cast(asyncio.Transport, transport))
        if len(self.connections) > MAX_CONNECTIONS:
            self.transport.abort()
        else:
            self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_request(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(SECONDS_TO_BEGIN, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

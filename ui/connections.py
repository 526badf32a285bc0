"""Connections that send nothing, or too slowly, are closed; and one address cannot take them all."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.h11_impl import H11Protocol

from ui.addresses import HOPS, ON_SPACE

if sys.platform != "win32":
    import resource

HEAD_SECONDS = 15.0  # that the head of a request may take, from the connection or from its first byte
PER_ADDRESS = 500  # connections; a page holds two, and a browser opens up to six
RESERVED = 200  # descriptors for files
_open: Counter[str] = Counter()


class PatientProtocol(H11Protocol):
    """Uvicorn's protocol with a timeout until the head of a request is complete, and with limits on connections."""

    _timer: asyncio.TimerHandle | None = None
    _counted = ""

    def connection_made(self, transport: Any) -> None:
        """Accept a connection, or close it if there are too many."""
        super().connection_made(transport)
        self._counted = self.client[0] if self.client else "?"
        _open[self._counted] += 1
        behind_proxy = HOPS or ON_SPACE  # all connections come from its address
        if (not behind_proxy and _open[self._counted] > PER_ADDRESS) or _open.total() > most_connections():
            transport.abort()
            return
        self._wait_for_head()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def data_received(self, data: bytes) -> None:
        """Read a piece of a request."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before or (self.cycle and not self.cycle.response_complete):
            self._stop_waiting()  # the head is complete; `ui.guard` limits the time of the body
        elif self._timer is None:
            self._wait_for_head()  # the next request of this connection has begun

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        if self._counted:
            _open[self._counted] -= 1
            if not _open[self._counted]:
                del _open[self._counted]
        super().connection_lost(exc)


def most_connections() -> int:
    """How many connections may be open at once: what the system allows, except RESERVED descriptors."""
    if sys.platform == "win32":
        return 2000
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(50, min(allowed, 20_000) - RESERVED)


def use_patient_connections() -> None:
    """Let all servers of this process use PatientProtocol, and allow this process as many descriptors as it may have."""
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 20_000 if hard == resource.RLIM_INFINITY else min(hard, 20_000)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{PatientProtocol.__module__}:{PatientProtocol.__name__}"

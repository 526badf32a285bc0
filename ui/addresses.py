"""Who sends a request: the address of the visitor behind known proxies, and whether a foreign page sends it."""

from __future__ import annotations

import ipaddress
import os

from starlette.datastructures import Headers
from starlette.types import Scope

# How many proxies in front of this server are ours. Each adds the address that it sees to the header X-Forwarded-For. A
# visitor can write anything into that header, but only before what our proxies add. A Space has the proxies of its platform.
HOPS = int(os.environ.get("THUMBSCOPE_PROXY_HOPS", "0"))
ON_SPACE = "SPACE_ID" in os.environ
# Names under which this server may be asked for, besides those of this machine; separated by commas.
HOSTS = {name.strip().lower() for name in os.environ.get("THUMBSCOPE_HOSTS", "").split(",") if name.strip()}


def client_address(scope: Scope, hops: int = HOPS, on_space: bool = ON_SPACE) -> str:
    """The address of the visitor: with n known proxies, the n-th from the end of X-Forwarded-For.

    On a Space it is the last public address in it: those of the platform's own proxies are private. Without known proxies, or
    if the header is shorter, it is the address of the connection. An address of IPv6 is cut to its network, because one
    person has all of it.
    """
    forwarded = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
    entries = [entry.strip() for entry in forwarded.split(",") if entry.strip()]
    connection = (scope.get("client") or ("", 0))[0]
    if hops:
        return _network(entries[-hops]) if len(entries) >= hops else _network(connection)
    if on_space:
        public = [entry for entry in entries if _is_public(entry)]
        return _network(public[-1] if public else connection)
    return _network(connection)


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    text = text.rsplit(":", 1)[0] if text.count(":") == 1 else text.strip("[]")  # "1.2.3.4:567"
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_public(text: str) -> bool:
    address = _parse(text)
    return address is not None and address.is_global


def _network(text: str) -> str:
    """One name for all addresses of a visitor."""
    address = _parse(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address) if address else text[:50]


def is_foreign_host(scope: Scope, hops: int = HOPS, on_space: bool = ON_SPACE) -> bool:
    """Whether a connection on this machine asks for another machine's name.

    A page of a stranger can let its name point to 127.0.0.1 and then read what the server on this machine answers (DNS
    rebinding). Behind a proxy, the names are those of the proxy.
    """
    if hops or on_space:
        return False
    server = _parse((scope.get("server") or ("", 0))[0] or "")
    if server is None or not server.is_loopback:
        return False
    host = Headers(scope=scope).get("host", "").lower()
    name = host.rsplit(":", 1)[0] if host.count(":") == 1 else host
    name = name.split("]")[0].strip("[]") if name.startswith("[") else name
    address = _parse(name)
    local = name == "localhost" or name.endswith(".localhost") or (address is not None and address.is_loopback)
    return not (local or name in HOSTS)

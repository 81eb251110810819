"""Which addresses may be spoken to: the public internet, and what ``MEDIA_ALLOWED_NETWORKS`` names.

A name is resolved once, every address of the answer is checked, and the caller connects to one of these and no other: a name
that answers differently the next time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from include.errors import InvalidInputData, ParameterError
from include.net.urls import MediaUrl
from include.settings import Settings

__all__ = ["Lookup", "allowed", "check_literal", "look_up", "resolve"]

Address = IPv4Address | IPv6Address
Lookup = Callable[[str, int], Iterable[str]]

# IANA's registries of special-purpose addresses, as far as they are no public unicast. Python's own ``is_global`` is not the
# same in all of its versions.
_FORBIDDEN_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carriers' translation
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform services, in every virtual machine
        "169.254.0.0/16",  # link-local, clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# Of IPv6 only 2000::/3 is given out: loopback, link-local, private, multicast and IPv4-compatible addresses are outside.
_PUBLIC_6 = IPv6Network("2000::/3")
_FORBIDDEN_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, among them Teredo, which hides an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which hides an IPv4 address
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def allowed(address: Address, settings: Settings, *, listening: bool = False) -> bool:
    """Tell whether the address may be spoken to; one to listen on must be in a network that the settings name."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    named = any(address.version == network.version and address in network for network in _networks(settings.allowed_networks))
    return named or (not listening and _public(address))


def _public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            # What hosts without IPv4 get for every IPv4 address.
            return _public(IPv4Address(int(address) & 0xFFFFFFFF))
        return address in _PUBLIC_6 and not any(address in network for network in _FORBIDDEN_6)
    return not any(address in network for network in _FORBIDDEN_4)


@lru_cache(maxsize=8)
def _networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in texts)


def check_literal(url: MediaUrl, settings: Settings) -> None:
    """Raise :class:`ParameterError` where the address itself, without asking for a name, is one that may not be spoken to."""
    if url.kind == "s3":
        return
    if url.host == "localhost" or url.host.endswith(".localhost"):
        addresses: tuple[Address, ...] = (IPv4Address("127.0.0.1"),)
    else:
        try:
            addresses = (ip_address(url.host),)
        except ValueError:
            return
    if not all(allowed(address, settings, listening=url.listens) for address in addresses):
        raise ParameterError(
            f"The address {url.redacted} is in a network that may not be "
            f"{'listened on' if url.listens else 'reached'}; MEDIA_ALLOWED_NETWORKS may allow it."
        )


def look_up(host: str, port: int) -> tuple[str, ...]:
    """Ask the system for the addresses of ``host``, those of its own hosts file included; raises :class:`OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def resolve(host: str, port: int, settings: Settings, *, listening: bool = False, lookup: Lookup = look_up) -> tuple[str, ...]:
    """Return the addresses of ``host`` as text, all of them checked; connect to these, not to the name.

    Raises :class:`InvalidInputData` where there are none, or where any of them may not be spoken to.
    """
    try:
        addresses = [ip_address(text) for text in lookup(host, port)]
    except (OSError, UnicodeError, ValueError):
        addresses = []
    if not addresses:
        raise InvalidInputData(f"The host {host} cannot be found; check the address.")
    # One forbidden address in the answer is enough: an honest name has none.
    if not all(allowed(address, settings, listening=listening) for address in addresses):
        raise InvalidInputData(
            f"The host {host} is in a network that may not be {'listened on' if listening else 'reached'}; "
            "MEDIA_ALLOWED_NETWORKS may allow it."
        )
    return tuple(map(str, addresses))

"""What ffmpeg may open of a live address: by its checked number, never by its name, and with one protocol.

ffmpeg looks names up itself, and verifies no certificate unless told so. So it gets the number and, beside it, what servers need
of the name; where that is not enough, it connects to a :class:`Tunnel` of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlencode

import httpx

from include.errors import InputNotSupported, OutputNotSupported
from include.net import guard
from include.net.guard import Lookup, look_up
from include.net.rtsp import RtspWatch
from include.net.tunnel import Tunnel
from include.net.urls import MediaUrl
from include.settings import Settings

__all__ = ["Guarded", "guarded_source", "guarded_target"]


@dataclass(frozen=True, repr=False)
class Guarded:
    """What ffmpeg opens: a URL, the options before it, and its ``-protocol_whitelist``; the first two may hold secrets."""

    url: str
    options: tuple[str, ...]
    protocols: str


@contextmanager
def guarded_source(url: MediaUrl, settings: Settings, *, lookup: Lookup = look_up) -> Iterator[Guarded]:
    """Resolve and check a live source, and yield how ffmpeg may open it: for one connection, since names change.

    Raises :class:`InvalidInputData` for a host that cannot be found or reached, :class:`InputNotSupported` for what is no live
    stream.
    """
    if url.kind != "live":
        raise InputNotSupported(f"{url.redacted} is no live stream.")
    with _guarded(url, settings, lookup) as guarded:
        yield guarded


@contextmanager
def guarded_target(url: MediaUrl, settings: Settings, *, lookup: Lookup = look_up) -> Iterator[Guarded]:
    """As :func:`guarded_source`, for a target; :class:`OutputNotSupported` for what no live stream can be sent to."""
    if url.kind != "live" or url.scheme == "rtsp":
        raise OutputNotSupported(f"{url.redacted} is no address that a live stream can be sent to.")
    with _guarded(url, settings, lookup) as guarded:
        yield guarded


@contextmanager
def _guarded(url: MediaUrl, settings: Settings, lookup: Lookup) -> Iterator[Guarded]:
    addresses = guard.resolve(url.host, url.port, settings, listening=url.listens, lookup=lookup)
    if url.scheme == "rtmps":
        # ffmpeg would verify nothing, and with a number for a host it would not tell which name it wants.
        with _tunnel(url, addresses, settings) as tunnel:
            yield _rtmp(url, "127.0.0.1", tunnel.port)
    elif url.scheme == "rtsp":
        # ffmpeg follows an RTSP server's redirect to whatever address.
        with _tunnel(url, addresses, settings) as tunnel:
            # Over UDP the server could name another sender, and ports that are not ours.
            yield Guarded(_place(url, "rtsp", "127.0.0.1", tunnel.port), ("-rtsp_transport", "tcp"), "tcp")
    elif url.scheme == "rtmp":
        yield _rtmp(url, addresses[0], url.port)
    elif url.scheme == "srt":
        yield _srt(url, addresses[0])
    else:
        yield _udp(url, addresses[0])


def _tunnel(url: MediaUrl, addresses: Sequence[str], settings: Settings) -> Tunnel:
    tls = url.scheme == "rtmps"
    return Tunnel(
        addresses,
        url.port,
        connect_seconds=settings.connect_seconds,
        # The same authorities as for sources over HTTP.
        tls=(httpx.create_ssl_context(), url.host) if tls else None,
        watch=None if tls else RtspWatch,
    )


def _rtmp(url: MediaUrl, host: str, port: int) -> Guarded:
    # Neither ffmpeg 5 nor 8 follows RTMP's redirects. A server tells its hosts apart by tcUrl, which names the application, too.
    return Guarded(
        _place(url, "rtmp", host, port),
        ("-rtmp_tcurl", f"{url.scheme}://{url.authority}/{_application(url)}"),
        "rtmp,tcp",
    )


def _application(url: MediaUrl) -> str:
    """Return what ffmpeg takes for the application (rtmpproto.c): one part of the path, or two where a third follows."""
    path = f"{url.path}?{url.query}" if url.query else url.path
    match = re.match(r"/ondemand(?=/)|/[^/]*(?:/[^/:]*(?=/))?", path)
    return match[0][1:] if match else ""


def _srt(url: MediaUrl, host: str) -> Guarded:
    # As options these two are taken as they are; ffmpeg decodes a query's names and values in ways that differ by version.
    verbatim = {"streamid": "-srt_streamid", "passphrase": "-passphrase"}
    options = [word for name, option in verbatim.items() if name in url.options for word in (option, url.options[name])]
    query = urlencode({name: value for name, value in url.options.items() if name not in verbatim})
    return Guarded(f"srt://{_literal(host)}:{url.port}{'?' + query if query else ''}", tuple(options), "srt")


def _udp(url: MediaUrl, host: str) -> Guarded:
    values = url.options
    if url.listens and not ip_address(host).is_multicast:
        # Without it ffmpeg listens on all addresses of the machine, whatever the host is.
        values["localaddr"] = host
    query = urlencode(values)
    return Guarded(f"udp://{_literal(host)}:{url.port}{'?' + query if query else ''}", (), "udp")


def _place(url: MediaUrl, scheme: str, host: str, port: int) -> str:
    userinfo = f"{url.userinfo}@" if url.userinfo else ""
    query = f"?{url.query}" if url.query else ""
    return f"{scheme}://{userinfo}{_literal(host)}:{port}{url.path}{query}"


def _literal(host: str) -> str:
    return f"[{host}]" if ":" in host else host

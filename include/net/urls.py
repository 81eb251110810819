"""Addresses that clients name: read once, here, so that no two programs read one differently. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Literal
from urllib.parse import parse_qsl

from include.errors import InputNotSupported, MediaError, OutputNotSupported, ParameterError

__all__ = ["MediaUrl", "parse_callback", "parse_source", "parse_target"]

Kind = Literal["s3", "http", "live"]

LONGEST = 4096
LONGEST_KEY = 1024
# A port below 1024 belongs to a service that is no media (mail, name servers, …) unless it is one of these.
_LOW_PORTS = {80, 443, 554}
_DEFAULT_PORTS = {"http": 80, "https": 443, "rtmp": 1935, "rtmps": 443, "rtsp": 554}
_KINDS: Mapping[str, Kind] = {
    "s3": "s3",
    "http": "http",
    "https": "http",
    **dict.fromkeys(("rtmp", "rtmps", "rtsp", "srt", "udp"), "live"),
}
_TARGETS = {"s3", "rtmp", "rtmps", "srt", "udp"}
# What a query may tell ffmpeg: other options change who is spoken to (localaddr, sources, localport), or lift its own limits.
_OPTIONS = {
    "srt": frozenset(("mode", "streamid", "passphrase", "pbkeylen", "latency", "maxbw", "oheadbw", "enforced_encryption")),
    "udp": frozenset(("pkt_size", "buffer_size", "fifo_size", "overrun_nonfatal", "ttl", "reuse")),
}
_SRT_MODES = {"caller", "listener", "rendezvous"}
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_HIDDEN = "***"
_LONGEST_SHOWN = 1024


@dataclass(frozen=True, repr=False)
class MediaUrl:
    """An address in its parts; ``text`` is what the client wrote, ``host`` lower case and without brackets.

    ``path`` begins with a slash unless it is empty, ``query`` has no question mark; both are as written. Only
    :attr:`redacted` may be shown, which is all that printing shows.
    """

    text: str
    scheme: str
    kind: Kind
    host: str = ""
    port: int = 0
    userinfo: str = ""
    path: str = ""
    query: str = ""
    bucket: str = ""
    key: str = ""
    listens: bool = False

    @property
    def authority(self) -> str:
        """Host and port as in a URL, without the port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"

    @property
    def redacted(self) -> str:
        """The address without user, password, query and stream key."""
        if self.kind == "s3":
            return _shorten(self.text)
        path = self.path
        if self.scheme in ("rtmp", "rtmps"):
            # rtmp://host/application/key: who knows the key may publish.
            application, slash, key = path[1:].partition("/")
            path = f"/{application}{slash}{_HIDDEN if key else ''}"
        return _shorten(f"{self.scheme}://{self.authority}{path}{'?' + _HIDDEN if self.query else ''}")

    @property
    def options(self) -> dict[str, str]:
        """The query of an srt or udp address, decoded as ffmpeg does it; the last of several of one name counts."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def __repr__(self) -> str:
        return f"MediaUrl({self.redacted!r})"

    __str__ = __repr__


def parse_source(text: str) -> MediaUrl:
    """Read a task's ``source_url``.

    Raises :class:`InputNotSupported` for a scheme that is not read, :class:`ParameterError` for what is no address.
    """
    return _parse("source_url", text, _KINDS.keys(), InputNotSupported)


def parse_target(text: str) -> MediaUrl:
    """Read a task's ``target_url``.

    Raises :class:`OutputNotSupported` for a scheme that is not written, :class:`ParameterError` for what is no address.
    """
    url = _parse("target_url", text, _TARGETS, OutputNotSupported)
    if url.key.endswith("/"):
        raise ParameterError("target_url names a folder; name the object that is to be written.")
    return url


def parse_callback(text: str) -> MediaUrl:
    """Read a ``callback_url``; raises :class:`ParameterError` for what is no http or https address."""
    return _parse("callback_url", text, ("http", "https"), ParameterError)


def _parse(field: str, text: str, schemes: Collection[str], unknown: type[MediaError]) -> MediaUrl:
    if not text or len(text) > LONGEST:
        raise ParameterError(f"{field} is empty or longer than {LONGEST} characters.")
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not colon or not _SCHEME.fullmatch(scheme):
        raise ParameterError(f"{field} is no address; it begins with one of {_listed(schemes)}.")
    if scheme not in schemes:
        raise unknown(f"{field} has the scheme {scheme}; it must be one of {_listed(schemes)}.")
    if not rest.startswith("//"):
        raise ParameterError(f"{field} has no // after {scheme}:.")
    if scheme == "s3":
        return _object(field, text, rest[2:])
    # Parsers disagree about what these mean; a sender that wants them in a path writes %5C, %20, …
    if wrong := re.search(r"[^!-~]|\\", rest):
        raise ParameterError(f"{field} holds {wrong[0]!a}, which an address has in percent-encoded form only.")
    if scheme != "srt" and "#" in rest:
        raise ParameterError(f"{field} has a fragment (#…); leave it out, or write # as %23.")
    return _server(field, text, scheme, rest[2:])


def _object(field: str, text: str, rest: str) -> MediaUrl:
    bucket, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise ParameterError(f"{field} has no bucket; write s3://bucket/key.")
    if not key or len(key.encode(errors="replace")) > LONGEST_KEY or re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", key):
        raise ParameterError(f"{field} needs a key of 1 to {LONGEST_KEY} bytes without control characters: s3://bucket/key.")
    if {".", ".."}.intersection(key.split("/")):
        raise ParameterError(f"{field} must not have '.' or '..' between slashes of its key.")
    return MediaUrl(text=text, scheme="s3", kind="s3", bucket=bucket, key=key)


def _server(field: str, text: str, scheme: str, rest: str) -> MediaUrl:
    authority, slash, tail = _cut(rest)
    path, _, query = (slash + tail).partition("?")
    userinfo, at, place = authority.rpartition("@")
    if "@" in userinfo:
        raise ParameterError(f"{field} has more than one @ before its host; write one that belongs to user or password as %40.")
    host, port = _place(field, scheme, place)
    url = MediaUrl(text, scheme, _KINDS[scheme], host, port, userinfo if at else "", path, query)
    _check_options(field, url)
    # A udp source waits for what comes to the address; so does an srt peer that does not call.
    listens = (scheme == "udp" and field == "source_url") or (scheme == "srt" and url.options.get("mode", "caller") != "caller")
    return replace(url, listens=listens)


def _cut(rest: str) -> tuple[str, str, str]:
    end = re.search(r"[/?]", rest)
    return (rest[: end.start()], end[0], rest[end.end() :]) if end else (rest, "", "")


def _place(field: str, scheme: str, place: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]*))?", place)
    if match is None:
        raise ParameterError(f"{field} has no valid host and port; an IPv6 address stands in brackets.")
    host, digits = match[1], match[2]
    port = _DEFAULT_PORTS.get(scheme, 0) if digits is None else int(digits) if 0 < len(digits) < 6 else 0
    if not 0 < port < 65536 or (port < 1024 and port not in _LOW_PORTS):
        low = ", ".join(map(str, sorted(_LOW_PORTS)))
        raise ParameterError(f"{field} needs a port from 1024 to 65535, or {low}.")
    return _host(field, host), port


def _host(field: str, host: str) -> str:
    """Return a host in the one spelling that everything else may rely on."""
    if host.startswith("["):
        try:
            # A zone (%eth0) would choose an interface of this machine.
            return str(IPv6Address("" if "%" in host else host[1:-1]))
        except ValueError:
            raise ParameterError(f"{field} has no valid IPv6 address between its brackets.") from None
    host = host.lower().removesuffix(".")
    labels = host.split(".")
    if not all(map(_LABEL.fullmatch, labels)) or len(host) > 253:
        raise ParameterError(f"{field} has no valid host name; write an international name in its ASCII form (xn--…).")
    if _NUMBER.fullmatch(labels[-1]):
        # What ends in a number is an address to every resolver, in spellings that hide which (127.1, 0x7f000001, 0177.0.0.1).
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise ParameterError(f"{field} has no valid IPv4 address; write it as four decimal numbers.") from None
    return host


def _check_options(field: str, url: MediaUrl) -> None:
    if (known := _OPTIONS.get(url.scheme)) is None:
        return
    if unknown := sorted(url.options.keys() - known):
        raise ParameterError(
            f"{field} has options that are not allowed in an address of {url.scheme} ({', '.join(unknown)[:100]!a}); "
            f"it may have {_listed(known)}."
        )
    if url.scheme == "srt" and url.options.get("mode", "caller") not in _SRT_MODES:
        raise ParameterError(f"{field} has an unknown mode; it may be {_listed(_SRT_MODES)}.")


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"

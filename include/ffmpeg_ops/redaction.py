"""What must not be shown of command lines and messages. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["redacted"]

_HIDDEN = "..."
# What is shorter stands in other words, too.
_LEAST_KEY = 4
_SECRET_OPTIONS = frozenset(("-passphrase", "-srt_streamid"))
# An address up to its host, whatever it is quoted in; user and password are before the host.
_ADDRESS = re.compile(
    r"\b(?P<scheme>[a-z][a-z0-9+]*)://(?:[^\s/'\"@]*@)?(?P<host>[^\s/'\"?]*)(?P<path>[^\s'\"?]*)(?P<query>\?[^\s'\"]*)?"
)


def redacted(text: str, argv: Sequence[str] = ()) -> str:
    """Return ``text`` without what may be secret in its addresses: user, password, query, and paths but those of http.

    Nor does it hold what ``argv`` gives to options that take a secret, nor the keys of RTMP streams in it: servers repeat them.
    """
    secrets = {value for option, value in pairwise(argv) if option in _SECRET_OPTIONS}
    keys = (word.rpartition("/")[2] for word in argv if word.startswith(("rtmp://", "rtmps://")))
    secrets |= {key for key in keys if len(key) >= _LEAST_KEY}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(shlex.quote(secret), _HIDDEN).replace(secret, _HIDDEN)
    return _ADDRESS.sub(_shown, text)


def _shown(address: re.Match[str]) -> str:
    # "rtmp://host/live/key: Broken pipe"
    path = address["path"].removesuffix(":")
    end = address["path"][len(path) :]
    if address["scheme"] not in {"http", "https"} and path.strip("/"):
        path = f"/{_HIDDEN}"
    return f"{address['scheme']}://{address['host']}{path}{f'?{_HIDDEN}' if address['query'] else ''}{end}"

"""A client of the Task/Transcoding API; beside httpx it needs only the errors of :mod:`include.errors`."""

from include.client.api import ApiError, Client
from include.client.signing import Key, SignedRequests

__all__ = ["ApiError", "Client", "Key", "SignedRequests"]

"""A client of the Task/Transcoding API; it needs httpx, and nothing of the server."""

from include.client.api import ApiError, Client
from include.client.signing import Key, SignedRequests

__all__ = ["ApiError", "Client", "Key", "SignedRequests"]

"""Proof that somebody receives what is sent to an address, without keeping anything about them.

A cookie is a keyed hash of the address, the client id and the time (DTLS HelloVerifyRequest, RFC
6347 §4.2.1; QUIC Retry, RFC 9000 §8.1.2). Whoever brings it back is reached at that address.
"""

from __future__ import annotations

import hashlib
import hmac

from udp_chat.protocol.packets import COOKIE_BYTES, Address

COOKIE_LIFE_SECONDS = 10.0
"""A cookie is good for one to two of these: a few lost JOINs, not a stolen one for later."""


class Cookies:
    """Makes and checks cookies. `key` is 32 random bytes that nobody else has."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, address: Address, client_id: int, now: float) -> bytes:
        """The cookie for a client at an address, now."""
        return self._hash(address, client_id, int(now // COOKIE_LIFE_SECONDS))

    def is_good(self, cookie: bytes, address: Address, client_id: int, now: float) -> bool:
        """Whether this is a cookie made for them, not too long ago."""
        slot = int(now // COOKIE_LIFE_SECONDS)
        return any(
            hmac.compare_digest(self._hash(address, client_id, s), cookie) for s in (slot, slot - 1)
        )

    def _hash(self, address: Address, client_id: int, slot: int) -> bytes:
        text = f"{address!r} {client_id} {slot}".encode()
        return hashlib.blake2b(text, digest_size=COOKIE_BYTES, key=self._key).digest()

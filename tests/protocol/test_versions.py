"""Programs of version 1 and of version 2 refuse each other, and both can say why.

The bytes of version 1 are literal: they are out there.
"""

from __future__ import annotations

import random
import zlib

from tests.protocol.golden import CLIENT, TIMESTAMP
from udp_chat.app.lines import event_line
from udp_chat.client.session import ChatSession, State
from udp_chat.protocol.packets import Join, RefusedReason, decode
from udp_chat.server.room import ChatRoom
from udp_chat.server.settings import RoomSettings

SERVER, ADDRESS = ("192.0.2.1", 9091), ("192.0.2.7", 50000)

JOIN_1 = bytes.fromhex(
    "55430103 de0ddb32 a1a2a3a4a5a6a7a8 0001020304050607 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
    " e1e2e3e4e5e6e7e8 0000000000000029 f1f2f3f4f5f6f7f8 0000000000000003 0000000c 04 416e6e61"
)
STATUS_1 = bytes.fromhex(
    "55430109 d8673dda b1b2b3b4b5b6b7b8 0001020304050607 0008090a0b0c0d0e 0000000000000029"
    " 000000000000002a 0000000000000003 0000000000000005 0000002a 01"
)


def test_a_client_of_version_1_is_refused_in_bytes_that_it_can_read() -> None:
    room = ChatRoom(RoomSettings(), random.Random(1), 1.0)
    room.receive_datagram(JOIN_1, ADDRESS, 1.0)
    room.receive_datagram(STATUS_1, ADDRESS, 1.0)
    ((refused, addresses),) = room.datagrams_to_send()
    assert list(addresses) == [ADDRESS]
    assert refused[:2] == b"UC"
    assert refused[3] == 6, "the number of REFUSED, in all versions"
    # The layout of version 1: client id, echoed timestamp, reason, length of the text.
    body = CLIENT.to_bytes(8, "big") + TIMESTAMP.to_bytes(8, "big") + b"\1\0"
    assert refused[8:] == body
    assert len(refused) <= len(JOIN_1)


def test_a_client_is_told_that_its_server_is_of_version_1() -> None:
    session = ChatSession(SERVER, "Anna", random.Random(1))
    session.start(1.0)
    (datagram,) = session.datagrams_to_send()
    join = decode(datagram)
    assert isinstance(join, Join)
    ids = join.client_id.to_bytes(8, "big") + join.timestamp.to_bytes(8, "big")
    session.receive_datagram(_sealed_by_version_1(ids + b"\1\0"), SERVER, 1.1)
    assert session.state is State.CLOSED
    (refused,) = session.take_events()
    assert refused == {"event": "refused", "reason": "version", "text": ""}
    assert "another version" in (event_line(refused, "en") or "")
    assert "другая версия" in (event_line(refused, "ru") or "")


def test_the_refusal_of_a_version_has_the_number_that_it_always_had() -> None:
    assert [int(reason) for reason in (RefusedReason.VERSION, RefusedReason.NAME_IN_USE)] == [1, 2]


def _sealed_by_version_1(body: bytes) -> bytes:
    head = b"UC\x01\x06"
    checksum = zlib.crc32(head + body)
    return head + checksum.to_bytes(4, "big") + body

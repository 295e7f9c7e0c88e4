"""The wire format, byte by byte: what each packet is encoded as.

The golden bytes are the format: whoever changes them breaks every client that is out there, so
they are literal hex, a field a word, and nothing here computes them.
"""

from __future__ import annotations

import zlib

from udp_chat.protocol.lineage import Lineage
from udp_chat.protocol.packets import (
    HEADER_BYTES,
    OFFER_HANDED_ON,
    OFFER_HOSTS,
    OFFER_TALKED,
    Answer,
    Bye,
    ByeReason,
    Challenge,
    Discover,
    Event,
    EventKind,
    Events,
    Fetch,
    Join,
    Leave,
    Message,
    MessageKind,
    Offer,
    Packet,
    Refused,
    Say,
    Status,
    Told,
    Welcome,
)

CLIENT = 0xA1A2A3A4A5A6A7A8
SESSION = 0xB1B2B3B4B5B6B7B8
EPOCH = 0xE1E2E3E4E5E6E7E8
INBOX_EPOCH = 0xF1F2F3F4F5F6F7F8
NONCE = 0x1112131415161718
TIMESTAMP = 0x0001020304050607
SERVER_TIME = 0x0008090A0B0C0D0E
UNIX_MS = 1_700_000_000_000
COOKIE = bytes(range(0xC0, 0xD0))
ROOM = 0xD1D2D3D4D5D6D7D8
ELSEWHERE = 0x7172737475767778
TAG = "8182838485868788"
LINEAGE = Lineage(((ROOM, 1), (EPOCH, 31))).encode()
"""Two terms: the second one begins at event 31."""

GOLDEN: dict[str, tuple[Packet, str]] = {
    # The first word of each is magic, version and type, the second the CRC-32 of all but itself.
    "discover": (
        Discover(nonce=NONCE, timestamp=TIMESTAMP),
        "55430201 b32b6e60 1112131415161718 0001020304050607" + " 00" * 168,
    ),
    "offer": (
        Offer(
            nonce=NONCE,
            epoch=EPOCH,
            member_count=7,
            port=9091,
            room_id=ROOM,
            absorbs=ELSEWHERE,
            flags=OFFER_HOSTS | OFFER_HANDED_ON | OFFER_TALKED,
            room="Клуб",
            host="Anna",
        ),
        "55430202 361c7b46 1112131415161718 e1e2e3e4e5e6e7e8 00000007 2383 d1d2d3d4d5d6d7d8"
        " 7172737475767778 07 08 04 d09ad0bbd183d0b1 416e6e61",
    ),
    "offer of a member that could host": (
        Offer(NONCE, 0, 0, 40000, "Lobby", room_id=ROOM, flags=OFFER_HANDED_ON),
        "55430202 2842a923 1112131415161718 0000000000000000 00000000 9c40 d1d2d3d4d5d6d7d8"
        " 0000000000000000 02 05 00 4c6f626279",
    ),
    "join": (
        Join(
            client_id=CLIENT,
            timestamp=TIMESTAMP,
            cookie=COOKIE,
            epoch=EPOCH,
            room_ack=41,
            inbox_epoch=INBOX_EPOCH,
            inbox_ack=3,
            next_message_id=12,
            room_id=ROOM,
            member=5,
            lineage=LINEAGE,
            name="Anna",
        ),
        "55430203 323ecee9 a1a2a3a4a5a6a7a8 0001020304050607 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
        " e1e2e3e4e5e6e7e8 0000000000000029 f1f2f3f4f5f6f7f8 0000000000000003 0000000c"
        " d1d2d3d4d5d6d7d8 00000005 d1d2d3d4d5d6d7d8 0000000000000001 e1e2e3e4e5e6e7e8"
        " 000000000000001f" + " 00" * 96 + " 04 416e6e61",
    ),
    "challenge": (
        Challenge(sender_id=CLIENT, cookie=COOKIE),
        "55430204 49cd8696 a1a2a3a4a5a6a7a8 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf",
    ),
    "welcome": (
        Welcome(
            client_id=CLIENT,
            echoed_timestamp=TIMESTAMP,
            session_id=SESSION,
            epoch=EPOCH,
            inbox_epoch=INBOX_EPOCH,
            oldest=2,
            latest=42,
            start=21,
            joined=40,
            inbox_start=4,
            received=11,
            member=5,
            heartbeat_ms=5000,
            ack_delay_ms=20,
            room_id=ROOM,
            host=6,
            lineage=LINEAGE,
            handed_on=True,
            name="Anna-2",
            room="Lobby",
            host_name="Boris",
            host_address="192.0.2.6:9091",
            successors="5 192.0.2.5:40000\n",
        ),
        "55430205 0e795008 a1a2a3a4a5a6a7a8 0001020304050607 b1b2b3b4b5b6b7b8 e1e2e3e4e5e6e7e8"
        " f1f2f3f4f5f6f7f8 0000000000000002 000000000000002a 0000000000000015 0000000000000028"
        " 0000000000000004 0000000b 00000005 00001388 0014"
        " d1d2d3d4d5d6d7d8 00000006 d1d2d3d4d5d6d7d8 0000000000000001 e1e2e3e4e5e6e7e8"
        " 000000000000001f" + " 00" * 96 + " 01 06 05 05 0e 12 416e6e612d32 4c6f626279 426f726973"
        " 3139322e302e322e363a39303931 35203139322e302e322e353a34303030300a",
    ),
    "refused": (
        Refused(client_id=CLIENT, echoed_timestamp=TIMESTAMP, reason=2, text="name in use"),
        "55430206 8794be90 a1a2a3a4a5a6a7a8 0001020304050607 02 0b 6e616d6520696e20757365",
    ),
    "say": (
        Say(
            session_id=SESSION,
            timestamp=TIMESTAMP,
            messages=(
                Message(message_id=12, kind=MessageKind.CHAT, text="hello", more=True),
                Message(message_id=13, kind=MessageKind.ACTION, text="🙂"),
                Message(message_id=14, kind=MessageKind.PRIVATE, text="hey", to="Boris"),
            ),
        ),
        "55430207 d4a3d097 b1b2b3b4b5b6b7b8 0001020304050607 03"
        " 0000000c 01 01 00 0005 68656c6c6f"
        " 0000000d 02 00 00 0004 f09f9982"
        " 0000000e 03 00 05 0003 426f726973 686579",
    ),
    "an offer to stand by": (
        Say(SESSION, TIMESTAMP, (Message(15, MessageKind.STAND_BY, "40000"),)),
        "55430207 b6a530ed b1b2b3b4b5b6b7b8 0001020304050607 01 0000000f 08 00 00 0005 3430303030",
    ),
    "events to everyone": (
        Events(
            epoch=EPOCH,
            timestamp=SERVER_TIME,
            oldest=2,
            latest=43,
            first=42,
            events=(
                Event(EventKind.CHAT, UNIX_MS, "Anna", text="привет", member=5, message_id=12),
                Event(EventKind.JOIN, UNIX_MS + 1, "Boris", member=6),
            ),
            ack_delay_ms=20,
        ),
        "55430208 2f20fe47 00 02 0014 e1e2e3e4e5e6e7e8 0008090a0b0c0d0e 0000000000000002"
        " 000000000000002b 000000000000002a"
        " 01 04 00 000c 0000018bcfe56800 00000005 0000000c 416e6e61 d0bfd180d0b8d0b2d0b5d182"
        " 03 05 00 0000 0000018bcfe56801 00000006 00000000 426f726973",
    ),
    "events for one member": (
        Events(
            epoch=INBOX_EPOCH,
            timestamp=SERVER_TIME,
            oldest=3,
            latest=4,
            first=4,
            events=(
                Event(EventKind.PRIVATE, UNIX_MS, "Anna", "Boris", "hey", member=5, message_id=14),
            ),
            inbox=True,
            ask=True,
            repair=True,
            answer=Answer(TIMESTAMP, received=14, appended=13, inbox_latest=4, sent_count=42),
        ),
        "55430208 7281269f 0f 01 0000 f1f2f3f4f5f6f7f8 0008090a0b0c0d0e 0000000000000003"
        " 0000000000000004 0000000000000004"
        " 0001020304050607 0000000e 0000000d 0000000000000004 0000002a"
        " 06 04 05 0003 0000018bcfe56800 00000005 0000000e 416e6e61 426f726973 686579",
    ),
    "events of a room that outlives its host": (
        Events(
            epoch=EPOCH,
            timestamp=SERVER_TIME,
            oldest=2,
            latest=44,
            first=40,
            events=(
                Event(EventKind.JOIN, UNIX_MS, "Boris", text=TAG, member=6),
                Event(EventKind.SUCCESSORS, UNIX_MS, text="6 [fe80::1]:40000\n"),
                Event(EventKind.CHAT_APART, UNIX_MS, "Anna", f"{ELSEWHERE:016x} 33", "hey", 5, 12),
                Event(EventKind.ACTION_APART, UNIX_MS, "Anna", f"{ELSEWHERE:016x} 4", "🙂", 5, 9),
                Event(EventKind.LOST_APART, UNIX_MS, to=f"{ELSEWHERE:016x} 5 7"),
            ),
        ),
        "55430208 eb0932b7 00 05 0000 e1e2e3e4e5e6e7e8 0008090a0b0c0d0e 0000000000000002"
        " 000000000000002c 0000000000000028"
        " 03 05 00 0010 0000018bcfe56800 00000006 00000000 426f726973"
        " 38313832383338343835383638373838"
        " 0b 00 00 0012 0000018bcfe56800 00000000 00000000 36205b666538303a3a315d3a34303030300a"
        " 0c 04 13 0003 0000018bcfe56800 00000005 0000000c 416e6e61"
        " 37313732373337343735373637373738203333 686579"
        " 0d 04 12 0004 0000018bcfe56800 00000005 00000009 416e6e61"
        " 373137323733373437353736373737382034 f09f9982"
        " 0f 00 14 0000 0000018bcfe56800 00000000 00000000"
        " 3731373237333734373537363737373820352037",
    ),
    "a register": (
        Events(
            epoch=INBOX_EPOCH,
            timestamp=SERVER_TIME,
            oldest=1,
            latest=1,
            first=1,
            events=(
                Event(
                    EventKind.REGISTER,
                    UNIX_MS,
                    text=f"43 0\n5 {TAG} 12 40 Anna\n6 {TAG} 0 0 Bo",
                    member=6,
                ),
            ),
            inbox=True,
        ),
        "55430208 a55a7c71 01 01 0000 f1f2f3f4f5f6f7f8 0008090a0b0c0d0e 0000000000000001"
        " 0000000000000001 0000000000000001"
        " 0e 00 00 003c 0000018bcfe56800 00000006 00000000 343320300a35203831383238333834383538"
        "363837383820313220343020416e6e610a3620383138323833383438353836383738382030203020426f",
    ),
    "answer to a heartbeat": (
        Events(
            epoch=EPOCH,
            timestamp=SERVER_TIME,
            oldest=2,
            latest=43,
            first=44,
            answer=Answer(TIMESTAMP, received=14, appended=14, inbox_latest=0, sent_count=0),
        ),
        "55430208 7c4e3080 04 00 0000 e1e2e3e4e5e6e7e8 0008090a0b0c0d0e 0000000000000002"
        " 000000000000002b 000000000000002c 0001020304050607 0000000e 0000000e"
        " 0000000000000000 00000000",
    ),
    "padded": (
        Events(
            epoch=EPOCH,
            timestamp=SERVER_TIME,
            oldest=2,
            latest=43,
            first=44,
            padded=True,
        ),
        "55430208 129ab828 10 00 0000 e1e2e3e4e5e6e7e8 0008090a0b0c0d0e 0000000000000002"
        " 000000000000002b 000000000000002c" + " 00" * 1148,
    ),
    "status": (
        Status(
            session_id=SESSION,
            timestamp=TIMESTAMP,
            echoed_timestamp=SERVER_TIME,
            room_ack=41,
            room_gap_end=42,
            inbox_ack=3,
            inbox_gap_end=5,
            sent_count=42,
            ask=True,
        ),
        "55430209 29b282be b1b2b3b4b5b6b7b8 0001020304050607 0008090a0b0c0d0e 0000000000000029"
        " 000000000000002a 0000000000000003 0000000000000005 0000002a 01",
    ),
    "leave": (
        Leave(session_id=SESSION, timestamp=TIMESTAMP),
        "5543020a 65f85b71 b1b2b3b4b5b6b7b8 0001020304050607 0000000000000000",
    ),
    "bye": (
        Bye(session_id=SESSION, reason=ByeReason.UNKNOWN_SESSION),
        "5543020b 83ee7f58 b1b2b3b4b5b6b7b8 03 00",
    ),
    "bye: the room has moved": (
        Bye(session_id=SESSION, reason=ByeReason.MOVED, text="6 43 192.0.2.6:9091"),
        "5543020b 36aa4866 b1b2b3b4b5b6b7b8 05 13 36203433203139322e302e322e363a39303931",
    ),
    "fetch": (
        Fetch(client_id=CLIENT, epoch=ELSEWHERE, first=32, last=41),
        "5543020c 56f1f311 a1a2a3a4a5a6a7a8 7172737475767778 0000000000000020 0000000000000029",
    ),
    "told": (
        Told(
            client_id=CLIENT,
            timestamp=TIMESTAMP,
            epoch=ELSEWHERE,
            first=32,
            events=(
                Event(EventKind.CHAT, UNIX_MS, "Anna", text="hey", member=5, message_id=12),
                Event(EventKind.LEAVE, UNIX_MS, "Boris", text="left", member=6),
            ),
        ),
        "5543020d 5cbd4850 a1a2a3a4a5a6a7a8 0001020304050607 7172737475767778 0000000000000020"
        " 02 01 04 00 0003 0000018bcfe56800 00000005 0000000c 416e6e61 686579"
        " 04 05 00 0004 0000018bcfe56800 00000006 00000000 426f726973 6c656674",
    ),
}


def golden(name: str) -> bytes:
    return bytes.fromhex(GOLDEN[name][1])


def sealed(head: bytes, body: bytes) -> bytes:
    """A datagram with a correct checksum, so that only what comes after it can refuse it."""
    return head + zlib.crc32(head + body).to_bytes(4, "big") + body


def resealed(datagram: bytes) -> bytes:
    return sealed(datagram[:4], datagram[HEADER_BYTES:])


def events_with(encoded: bytes) -> bytes:
    return Events(EPOCH, SERVER_TIME, 1, 1, 1).encode_with([encoded])


def say_with(encoded: bytes) -> bytes:
    datagram = Say(SESSION, TIMESTAMP, (Message(1, MessageKind.CHAT, ""),)).encode()
    return resealed(datagram[: HEADER_BYTES + Say.LAYOUT.size] + encoded)

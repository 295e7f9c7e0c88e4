"""Messages and their frames: how a stream is cut makes no difference."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare.chats.framing import FRAME_BYTES_MAX, Deframer, frame
from compare.chats.messages import Kind, MalformedMessage, Message, TextTooLong
from tests.compare.test_tcp import HELLO

MESSAGES = [
    Message(Kind.CHAT, "Анна", HELLO, 1_700_000_000_123),
    Message(Kind.LEAVE),
    Message(Kind.CHAT, "Boris", "", 1),
]
STREAM = b"".join(map(frame, MESSAGES))


def test_a_frame_is_a_length_and_the_message() -> None:
    data = frame(Message(Kind.CHAT, "Аня", "ок", 0x0102030405060708))
    assert data.hex(" ", -4) == ("00000014 07010203 04050607 0806d090 d0bdd18f d0bed0ba")


def test_a_stream_cut_into_three_anywhere_gives_the_same_messages() -> None:
    for first in range(len(STREAM) + 1):
        for second in range(first, len(STREAM) + 1):
            deframer = Deframer()
            parts = (STREAM[:first], STREAM[first:second], STREAM[second:])
            assert [m for part in parts for m in deframer.feed(part)] == MESSAGES


def test_a_stream_that_comes_byte_by_byte_gives_the_same_messages() -> None:
    deframer = Deframer()
    assert [m for byte in STREAM for m in deframer.feed(bytes([byte]))] == MESSAGES


def test_three_messages_in_one_piece_stay_three() -> None:
    assert Deframer().feed(STREAM) == MESSAGES


def test_a_length_above_the_limit_is_refused_before_its_bytes_come() -> None:
    for length in (FRAME_BYTES_MAX + 1, 2**31, 2**32 - 1):
        with pytest.raises(MalformedMessage, match="frame too long"):
            Deframer().feed(length.to_bytes(4, "big"))


def test_the_largest_frame_passes_and_a_larger_one_is_not_made() -> None:
    header_bytes = len(Message(Kind.SAY).encode())
    largest = Message(Kind.SAY, text="x" * (FRAME_BYTES_MAX - header_bytes))
    assert Deframer().feed(frame(largest)) == [largest]
    with pytest.raises(TextTooLong):
        frame(Message(Kind.SAY, text=largest.text + "x"))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("", "truncated"),
        ("02 0000000000000000", "truncated"),
        ("02 0000000000000000 01", "truncated"),  # a name that is not there
        ("00 0000000000000000 00", "unknown kind"),
        ("0b 0000000000000000 00", "unknown kind"),
        ("02 0000000000000000 00 d0", "invalid utf-8"),  # half a letter
        ("02 0000000000000000 01 d0 bf", "invalid utf-8"),  # a letter across name and text
        ("02 0000000000000000 00 c080", "invalid utf-8"),
    ],
)
def test_what_is_no_message_is_malformed(payload: str, reason: str) -> None:
    data = bytes.fromhex(payload)
    with pytest.raises(MalformedMessage, match=reason):
        Deframer().feed(len(data).to_bytes(4, "big") + data)


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_no_bytes_do_more_harm_than_being_malformed(parts: list[bytes]) -> None:
    deframer = Deframer()
    with contextlib.suppress(MalformedMessage):
        for part in parts:
            deframer.feed(part)


@given(
    st.builds(
        Message,
        st.sampled_from(Kind),
        st.text(st.characters(codec="utf-8"), max_size=60),
        st.text(st.characters(codec="utf-8")),
        st.integers(0, 2**64 - 1),
    )
)
def test_a_message_survives_its_encoding(message: Message) -> None:
    assert Message.decode(message.encode()) == message

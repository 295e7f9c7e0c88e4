"""What a server reads of a SAY, which repeats what it has, and what becomes of it in the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udp_chat.protocol.packets import (
    PLAIN_KIND_MAX,
    Event,
    EventKind,
    MalformedDatagram,
    Message,
    MessageKind,
    Say,
    encode_plain,
    read_new_messages,
)

TIMESTAMP = 0x0001020304050607


def _say(*messages: Message) -> bytes:
    return Say(7, 9, messages).encode()


def _new(datagram: bytes, received: int, count_max: int = 64) -> list[Message]:
    return [Message.of(raw) for raw in read_new_messages(datagram, received, count_max)]


def test_of_a_say_only_what_follows_the_received_is_read_in_order_and_as_much_as_is_wanted() -> (
    None
):
    messages = tuple(Message(n, MessageKind.CHAT, f"line {n}") for n in range(3, 9))
    assert _new(_say(*messages), 4) == list(messages[2:])
    assert _new(_say(*messages), 4, 2) == list(messages[2:4])
    assert _new(_say(*messages), 8) == []
    assert _new(_say(*messages), 1) == [], "what is missing is not passed over"
    private = Message(1, MessageKind.PRIVATE, "psst", "Анна", more=True)
    assert _new(_say(private), 0) == [private]


def test_ids_that_grow_by_more_than_one_hide_nothing_new() -> None:
    """A client may leave out what was echoed: the id of the last is not known from the first's."""
    messages = tuple(Message(n, MessageKind.CHAT, f"line {n}") for n in (3, 7, 9))
    assert _new(_say(*messages), 6) == [messages[1]]
    assert _new(_say(*messages), 8) == [messages[2]]
    assert _new(_say(*messages), 9) == []


@given(
    texts=st.lists(st.text(max_size=9), min_size=1, max_size=40),
    first=st.integers(1, 9),
    received=st.integers(0, 60),
    count_max=st.integers(0, 64),
)
def test_what_is_new_is_read_whatever_is_repeated(
    texts: list[str], first: int, received: int, count_max: int
) -> None:
    messages = [Message(n, MessageKind.CHAT, text) for n, text in enumerate(texts, first)]
    while len(_say(*messages)) > 1200:
        messages.pop()
    new = [message for message in messages if message.message_id > received]
    follows = bool(new) and new[0].message_id == received + 1
    assert _new(_say(*messages), received, count_max) == (new[:count_max] if follows else [])


def test_no_text_of_what_was_received_before_is_looked_at() -> None:
    datagram = _say(Message(1, MessageKind.CHAT, "x"), Message(2, MessageKind.CHAT, "y"))
    assert _new(datagram.replace(b"x", b"\xff"), 1) == [Message(2, MessageKind.CHAT, "y")]


@given(
    st.sampled_from([(MessageKind.CHAT, EventKind.CHAT), (MessageKind.ACTION, EventKind.ACTION)]),
    st.text(max_size=200),
    st.integers(0, 2**32 - 1),
)
def test_a_plain_message_becomes_the_event_that_is_encoded_by_itself(
    kinds: tuple[MessageKind, EventKind], text: str, message_id: int
) -> None:
    kind, of_event = kinds
    assert kind <= PLAIN_KIND_MAX
    raw = (message_id, int(kind), False, b"", text.encode())
    event = Event(of_event, TIMESTAMP, "Анна", "", text, 7, message_id)
    assert encode_plain([raw], "Анна".encode(), 7, TIMESTAMP) == [event.encode()]


def test_other_kinds_of_messages_are_not_plain() -> None:
    assert [kind for kind in MessageKind if kind <= PLAIN_KIND_MAX] == [
        *(MessageKind.CHAT, MessageKind.ACTION)
    ]


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (_say(Message(1, MessageKind.CHAT, "x"))[:24], "truncated"),
        (_say(Message(1, MessageKind.CHAT, "x"))[:28], "truncated"),
        (_say(Message(1, MessageKind.CHAT, "xy"))[:-1], "truncated"),
        (_say(Message(0, MessageKind.CHAT, "xy"))[:-1], "truncated"),
        (_say(Message(0, MessageKind.CHAT, "x")) + b"z", "trailing bytes"),
        (_say(Message(1, MessageKind.CHAT, "x")) + b"z", "trailing bytes"),
        (_say(Message(1, MessageKind.CHAT, "x"))[:24] + b"\0", "empty say"),
        (_say(Message(1, MessageKind.CHAT, "x")).replace(b"x", b"\xff"), "invalid utf-8"),
        (_say(Message(1, MessageKind.PRIVATE, "", "x")).replace(b"x", b"\xff"), "invalid utf-8"),
        (
            _say()[:24] + b"\1" + Message.LAYOUT.pack(1, 1, False, 0, 901) + b"x" * 901,
            "text too long",
        ),
        (
            _say()[:24] + b"\1" + Message.LAYOUT.pack(1, 1, False, 65, 0) + b"x" * 65,
            "text too long",
        ),
        (_say()[:24] + b"\1" + Message.LAYOUT.pack(1, 99, False, 0, 0), "unknown MessageKind"),
    ],
)
def test_a_say_that_is_none_is_refused_whatever_of_it_is_new(datagram: bytes, reason: str) -> None:
    with pytest.raises(MalformedDatagram) as raised:
        read_new_messages(datagram, 0, 64)
    assert raised.value.reason == reason

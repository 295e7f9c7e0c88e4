"""What a client has to say: how much of it may wait, and what cutting it costs."""

from __future__ import annotations

from typing import SupportsIndex

import pytest

from udp_chat.client.outbox import PENDING_MAX, Outbox, PendingFull, split_text
from udp_chat.protocol.delivery import LossEstimate, RttEstimator
from udp_chat.protocol.packets import TEXT_BYTES_MAX, MessageKind


def empty_outbox() -> Outbox:
    return Outbox(RttEstimator(), LossEstimate(), lambda: 1.0)


class Uncut(str):
    """A text that must not be cut: that begins with its bytes."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        raise AssertionError("it was cut all the same")


def test_a_text_that_cannot_fit_is_refused_before_it_is_cut() -> None:
    waiting = empty_outbox()
    with pytest.raises(PendingFull):
        waiting.add(Uncut("word " * 4_800_000), MessageKind.CHAT, "")  # 24 MB
    assert waiting.pending == {}


def test_a_text_that_just_fits_is_taken_whole() -> None:
    waiting = empty_outbox()
    waiting.add("x" * (TEXT_BYTES_MAX * PENDING_MAX), MessageKind.CHAT, "")
    assert len(waiting.pending) == PENDING_MAX
    with pytest.raises(PendingFull):
        waiting.add("", MessageKind.CHAT, "")


def test_a_text_of_long_characters_that_does_not_fit_is_refused_whole() -> None:
    waiting = empty_outbox()
    with pytest.raises(PendingFull):
        waiting.add("🙂" * (TEXT_BYTES_MAX * PENDING_MAX // 2), MessageKind.CHAT, "")
    assert waiting.pending == {}


class CountedBytes(bytes):
    """Counts what is copied out of it, by whichever slice."""

    copied = 0

    def __getitem__(self, key: SupportsIndex | slice) -> int | bytes:  # type: ignore[override]
        part: int | bytes = super().__getitem__(key)
        if isinstance(part, bytes):
            CountedBytes.copied += len(part)
            return CountedBytes(part)
        return part


class CountedText(str):
    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return CountedBytes(super().encode(encoding, errors))


@pytest.mark.parametrize("text", ["x" * 50_000, "word " * 10_000, " я" * 20_000])
def test_cutting_a_text_copies_each_of_its_bytes_once(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CountedBytes, "copied", 0)
    assert "".join(split_text(CountedText(text))) == text
    assert CountedBytes.copied == len(text.encode())

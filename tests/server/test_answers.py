"""Who has my lines, and how the links do: the texts of the answers, and that they are true."""

from __future__ import annotations

from tests.simulated.simulated_network import Faults, SimulatedNetwork, User
from udp_chat.client.chat_events import ChatEvent
from udp_chat.protocol.answers import LINK_KEYS, parse_asked, parse_seen, parse_stats, roster_texts
from udp_chat.protocol.packets import TEXT_BYTES_MAX


def talking_room(names: str, faults: Faults | None = None) -> tuple[SimulatedNetwork, list[User]]:
    network = SimulatedNetwork(1)
    users = [network.join(name) for name in names.split()]
    network.run_until(network.is_settled, 30.0)
    network.faults = faults or network.faults
    return network, users


def notices(network: SimulatedNetwork, user: User, reason: str) -> list[ChatEvent]:
    session = user.session
    assert session is not None
    user.shown.events.clear()
    if reason == "seen":
        session.ask_seen(network.now)
    else:
        session.ask_stats(network.now)
    network.step_user(user)
    network.run_until(
        lambda: any(e.get("reason") in (reason, "nothing_said") for e in user.shown.events), 30.0
    )
    return [event for event in user.shown.events if event["event"] == "notice"]


def test_seen_is_right_under_20_percent_loss() -> None:
    network, users = talking_room("Anna Boris Vera Dina", Faults(loss_up=0.2, loss_down=0.2))
    for number in range(5):
        network.say(users[0], f"line {number}")
        network.run(1.0)
    network.run(10.0)
    answers = notices(network, users[0], "seen")
    assert [(a["text"], a["count"], a["total"], a["members"]) for a in answers] == [
        (f"line {number}", 3, 3, []) for number in (2, 3, 4)
    ]


def test_seen_names_a_frozen_member_until_it_is_back() -> None:
    network, users = talking_room("Anna Boris Vera")
    network.freeze(users[1], 8.0)
    network.say(users[0], "hello")
    network.run(2.0)
    (answer,) = notices(network, users[0], "seen")
    assert (answer["count"], answer["total"], answer["members"]) == (1, 2, ["Boris"])
    network.run(10.0)
    (answer,) = notices(network, users[0], "seen")
    assert (answer["count"], answer["total"], answer["members"]) == (2, 2, [])


def test_who_came_later_is_not_expected_to_have_a_line() -> None:
    network, users = talking_room("Anna Boris")
    for number in range(60):
        network.say(users[0], f"line {number}")
        network.run(0.1)
    network.join("Vera")
    network.run(3.0)
    answers = notices(network, users[0], "seen")
    assert [answer["total"] for answer in answers] == [2, 2, 2]  # these are in Vera's history
    room = network.room
    vera = next(member for member in room.members.values() if member.name == "Vera")
    vera.first_seq = room.log.latest + 1
    assert notices(network, users[0], "seen")[0]["total"] == 1


def test_who_said_nothing_is_told_so() -> None:
    network, users = talking_room("Anna Boris")
    (answer,) = notices(network, users[0], "seen")
    assert answer["reason"] == "nothing_said"


def test_stats_count_what_the_link_loses_doubles_and_reorders() -> None:
    network, users = talking_room(
        "Anna Boris",
        Faults(loss_up=0.2, loss_down=0.2, duplication=0.1, jitter_seconds=0.05),
    )
    for number in range(300):
        network.say(users[number % 2], f"line {number}")
        network.run(0.2)
    (answer,) = notices(network, users[0], "stats")
    own, other = answer["links"]
    assert (own["name"], other["name"]) == ("Anna", "Boris")
    for link in (own, other):
        numbers = {key: int(link[key]) for key in LINK_KEYS}
        sent = numbers["received"] - numbers["duplicated"] + numbers["lost"]
        assert 0.12 < numbers["lost"] / sent < 0.28
        assert 0.05 < numbers["duplicated"] / numbers["received"] < 0.15
        assert numbers["reordered"] > 0
        assert numbers["repaired"] > 20
        assert 40_000 <= numbers["rtt_us"] <= 200_000
        assert numbers["rtt_us"] <= numbers["rtt_p95_us"]
    down_sent = int(own["down_received"]) + int(own["down_lost"])
    assert 0 < int(own["down_lost"]) < 0.28 * down_sent
    assert int(own["retransmissions"]) > 0


def test_stats_of_a_clean_link_show_no_loss() -> None:
    network, users = talking_room("Anna Boris")
    for number in range(20):
        network.say(users[number % 2], f"line {number}")
        network.run(0.2)
    (answer,) = notices(network, users[0], "stats")
    for link in answer["links"]:
        assert (link["lost"], link["duplicated"], link["reordered"], link["repaired"]) == (
            0,
            0,
            0,
            0,
        )


def test_a_roster_of_any_size_is_in_events_of_bounded_size() -> None:
    names = [f"Имя{number:029}" for number in range(500)]
    texts = roster_texts(names, 7)
    assert all(len(text.encode()) <= TEXT_BYTES_MAX for text in texts)
    heads = [text.split("\n")[0] for text in texts]
    assert heads == [f"7 {left}" for left in range(len(texts) - 1, -1, -1)]
    assert [name for text in texts for name in text.split("\n")[1:]] == names
    assert roster_texts([], 7) == ["7 0"]


def test_what_is_no_answer_is_not_read_as_one() -> None:
    assert parse_seen("") is None
    assert parse_seen("1 2") is None
    assert parse_seen("1 2 x\nAnna") is None
    assert parse_seen(f"1 {'9' * 21} 1") is None
    assert parse_stats(f"0\nAnna {'9' * 21} 2 3 4 5 6 7 8 9") == ([], True)
    assert parse_stats("0\nAnna 1 2\nBoris") == ([], True)
    assert parse_stats("1\nAnna 1 2 3 4 5 6 7 8 x") == ([], False)


def test_only_lines_that_exist_are_asked_about() -> None:
    assert parse_asked("1 0 -1 x 7 " + "9" * 30, latest=7) == [1, 7]
    assert parse_asked("7 8 6", latest=7) == [7, 6]
    assert parse_asked("", latest=7) == []

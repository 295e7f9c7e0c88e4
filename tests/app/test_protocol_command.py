"""The command `protocol.py`: datagrams from the command line, traces, captures and pipes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.app.test_trace import LEAVE, SAMPLE, ipv4, pcap, udp
from tests.processes import PROJECT, WAIT_SECONDS, start_process
from udp_chat.app.protocol_command import main
from udp_chat.app.trace import describe, tracer
from udp_chat.protocol.packets import Message, MessageKind, Say

SHOWN = "Leave(session_id=1, timestamp=2)"

Run: TypeAlias = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in English: (exit code, lines of stdout, stderr)."""

    def run(
        *arguments: str, stdin: bytes = b"", language: str = "en"
    ) -> tuple[int, list[str], str]:
        with io.TextIOWrapper(io.BytesIO(stdin)) as stream, monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", stream)
            code = main(["--lang", language, *arguments])
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err

    return run


def test_datagrams_of_the_command_line_are_decoded_one_a_line(run: Run) -> None:
    plain = LEAVE.hex()
    spaced = ":".join(f"{byte:02X}" for byte in LEAVE)
    prefixed = f"0x{LEAVE[:9].hex()} {LEAVE[9:].hex()}\n"
    assert run(plain, spaced, prefixed) == (0, [SHOWN] * 3, "")


def test_a_malformed_datagram_is_a_line_with_its_reason_and_exit_code_1(run: Run) -> None:
    code, lines, err = run(b"hello, world".hex(), LEAVE.hex(), LEAVE[:-1].hex(), "")
    assert (code, err) == (1, "")
    assert lines == ["(not udp-chat)", SHOWN, "(bad checksum)", describe(b"")]
    assert lines[-1].startswith("(")


def test_text_in_a_packet_moves_no_cursor(run: Run) -> None:
    say = Say(1, 2, (Message(1, MessageKind.CHAT, "\u202e\x9bevil"),)).encode()
    _, (line,), _ = run(say.hex())
    assert "evil" in line
    assert line.isprintable()


def test_a_trace_and_a_capture_are_told_apart_by_what_is_in_them(run: Run, tmp_path: Path) -> None:
    trace, capture = tmp_path / "one", tmp_path / "two"
    with trace.open("w") as stream:
        write = tracer(lambda line: print(line, file=stream))
        write(">", LEAVE)
        write("<", b"hello, world")
    capture.write_bytes(pcap(ipv4(udp(LEAVE))))
    code, lines, err = run(str(trace), str(capture), LEAVE.hex())
    assert (code, err) == (1, "")  # one was malformed
    assert [line[11:] for line in lines] == [
        f">  {SHOWN}",
        "<  (not udp-chat)",
        f"192.0.2.1:50000 > 192.0.2.2:9091  {SHOWN}",
        SHOWN[11:],
    ]


def test_a_file_may_come_from_standard_input(run: Run) -> None:
    code, lines, err = run("-", stdin=pcap(ipv4(udp(LEAVE))))
    assert (code, err) == (0, "")
    assert lines == [f"  0.000000 192.0.2.1:50000 > 192.0.2.2:9091  {SHOWN}"]
    assert run("--file", "-", stdin=b"")[0] == 0


def test_hexadecimal_goes_before_a_file_of_that_name_but_not_behind_the_option(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cafe").write_bytes(pcap(ipv4(udp(LEAVE))))
    assert run("cafe")[1] == [describe(b"\xca\xfe")]
    assert run("--file", "cafe")[1][0].endswith(SHOWN)
    assert run("./cafe")[1][0].endswith(SHOWN)


def test_a_trace_of_the_client_is_read_again_with_the_same_words(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    written: list[str] = []
    for way, datagram in ((">", LEAVE), ("<", LEAVE[:4])):
        tracer(written.append)(way, datagram)
    path.write_text("".join(f"{line}\n" for line in written))
    _, lines, _ = run(str(path))
    for shown, line in zip(lines, written, strict=True):
        where, _, text = shown.partition("  (" if "(" in shown[:16] else "  L")
        assert line.startswith(where)
        assert text in line


@pytest.mark.parametrize(
    ("data", "language", "reason"),
    [
        (b"not a trace\n", "en", "line 1 is not a line of --trace with its datagram"),
        (b"not a trace\n", "ru", "строка 1 — не строка --trace с датаграммой"),
        (pcap(ipv4(udp(LEAVE)))[:-1], "en", "the file ends in the middle of a packet"),
        (pcap(ipv4(udp(LEAVE)))[:30], "ru", "файл обрывается посреди заголовка"),
        (
            b"\x0a\x0d\x0d\x0a" + bytes(50),
            "en",
            "this is a pcapng file. Convert it: tshark -F pcap -r IN -w OUT",
        ),
        (pcap(link_type=105), "ru", "тип канала 105 его пакетов здесь неизвестен"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence_and_the_others_are_read(
    run: Run, tmp_path: Path, data: bytes, language: str, reason: str
) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    bad.write_bytes(data)
    good.write_bytes(pcap(ipv4(udp(LEAVE))))
    code, lines, err = run(str(bad), str(good), language=language)
    cannot = {"en": "cannot read", "ru": "не удалось прочитать"}[language]
    assert (code, err) == (1, f"{cannot} {bad}: {reason}\n")
    assert len(lines) == 1


def test_a_file_that_is_not_there_is_one_sentence(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "nothing"
    code, lines, err = run("--file", str(path))
    assert (code, lines, err) == (1, [], f"cannot read {path}: No such file or directory\n")
    assert run(str(tmp_path))[0] == 1  # a directory


@pytest.mark.parametrize("argument", ["xyz", "abc", "no/such/file", "x" * 5000, "a\0b", "0x"[:1]])
def test_what_is_neither_hexadecimal_nor_a_file_is_wrong_use(run: Run, argument: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run(argument)
    assert ended.value.code == 2


def test_the_sample_capture_is_shown_whole() -> None:
    command = [sys.executable, "protocol.py", str(SAMPLE)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, encoding="utf-8", check=False)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) > 20
    assert done.returncode == int(any("  (" in line for line in lines))


@pytest.mark.skipif(os.name != "posix", reason="a pipe without a reader, as POSIX has it")
@pytest.mark.parametrize("source", [str(SAMPLE), LEAVE.hex()])
def test_a_reader_that_has_gone_is_no_error(source: str) -> None:
    receiver, sender = os.pipe()
    os.close(receiver)
    with (
        os.fdopen(sender, "wb") as output,
        start_process(
            ["protocol.py", *[source] * 50], stdout=output, stderr=subprocess.PIPE
        ) as process,
    ):
        _, complaint = process.communicate(timeout=WAIT_SECONDS)
    assert complaint == b""
    assert process.returncode in (0, 1)  # as far as it came, some were malformed or none

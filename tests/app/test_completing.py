"""What Tab can make of a typed text."""

from __future__ import annotations

from pathlib import Path

import pytest

from udp_chat.app.completing import Completions, paths

NAMES = ["Anna", "Anna-2", "Борис"]


@pytest.mark.parametrize(
    ("left", "completed"),
    [
        ("", []),
        ("an", ["Anna: ", "Anna-2: "]),
        ("БОР", ["Борис: "]),
        ("@an", ["@Anna ", "@Anna-2 "]),
        ("hello @б", ["hello @Борис"]),
        ("hello б", ["hello Борис"]),
        ("hello ", []),
        ("@", ["@Anna ", "@Anna-2 ", "@Борис "]),
        ("/wh", ["/who"]),
        ("  /WH", ["  /who"]),
        ("/sa", ["/save ", "/save! ", "/say "]),
        ("/se", ["/search ", "/seen"]),
        ("/help se", ["/help search", "/help seen"]),
        ("/xyzzy", []),
        ("//wh", []),
        ("/bell ", ["/bell on", "/bell mentions", "/bell off"]),
        ("/bell O", ["/bell on", "/bell off"]),
        ("/b m", ["/b mentions"]),
        ("/joins of", ["/joins off"]),
        ("/help wh", ["/help who"]),
        ("/help /wh", ["/help /who"]),
        ("/ignore б", ["/ignore Борис"]),
        ("/ignore Борис и", []),
        ("/msg ", ["/msg Anna ", "/msg Anna-2 ", "/msg Борис "]),
        ("/msg  б", ["/msg  Борис "]),
        ("/msg Anna ask б", ["/msg Anna ask Борис"]),
        ("/msg Anna ", []),
        ("/me hugs б", ["/me hugs Борис"]),
        ("/say б", ["/say Борис"]),
        ("/r ", ["/msg Борис "]),
        ("/r ask an", ["/r ask Anna", "/r ask Anna-2"]),
        ("/history ", []),
        ("/who ", []),
        ("/save my no", ["/save <my no>"]),
        ("/save! ", ["/save! <>"]),
        ("save no", []),
    ],
)
def test_tab_makes_of_a_text_what_may_stand_there(left: str, completed: list[str]) -> None:
    def listed(path: str) -> list[str]:
        return [f"<{path}>"]

    assert Completions(NAMES, "Борис", paths=listed).of(left) == completed


def test_tab_knows_nobody_to_answer_where_nobody_has_written() -> None:
    assert Completions(NAMES).of("/r ") == []


def test_paths_are_those_that_a_shell_would_offer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # Windows
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Notes").mkdir()
    for name in ("november.txt", "my notes", ".hidden", "Notes/inside", "ночь", "n\u202eo"):
        (tmp_path / name).touch()
    assert paths("no") == ["Notes/", "november.txt"]
    assert paths("~/no") == ["~/Notes/", "~/november.txt"]
    assert paths("Notes/") == ["Notes/inside"]
    assert paths("my n") == ["my notes"]
    assert paths(".h") == [".hidden"]
    assert paths("Н") == ["ночь"]
    assert paths("") == ["my notes", "Notes/", "november.txt", "ночь"]
    assert paths("~") == ["~/"]
    assert paths(f"{tmp_path.as_posix()}/nov") == [f"{tmp_path.as_posix()}/november.txt"]
    for nowhere in ("no such/", "~nobody-of-this-name/", "a\0b/", "november.txt/"):
        assert paths(nowhere) == []

import ast
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import cli
from cli.display.output import console, result_alone, say, visible, visible_in_line

_PROGRAM = """
import os, subprocess, sys
from pydantic import BaseModel
from cli.display.output import result_alone

class Result(BaseModel):
    value: int = 3

with result_alone({json}) as show:
    print("a library speaks")
    os.write(1, b"a C library speaks\\n")
    subprocess.run(["echo", "a child speaks"])
    show(Result())
print("after")
"""


def _run(json: bool) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(json=json)], capture_output=True, text=True, check=True
    )


def test_with_json_only_the_result_reaches_standard_output() -> None:
    finished = _run(json=True)
    assert finished.stdout == '{\n  "value": 3\n}\nafter\n'
    assert set(finished.stderr.splitlines()) == {"a library speaks", "a C library speaks", "a child speaks"}


def test_without_json_nothing_is_redirected() -> None:
    finished = _run(json=False)
    assert finished.stderr == ""
    assert "a child speaks" in finished.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, schön, 漢字, 🙂", "plain, schön, 漢字, 🙂"),
        ("two\tcolumns\nand a line", "two\tcolumns\nand a line"),
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("\rover\x08\x7f\x9b31m", "\\rover\\x08\\x7f\\x9b31m"),
        ("a\u202eb\u2066c\u2069", "a\\u202eb\\u2066c\\u2069"),
        ("caf\udce9", "caf\\udce9"),
    ],
)
def test_what_a_terminal_would_act_on_is_shown(text: str, expected: str) -> None:
    assert visible(text) == expected
    assert visible_in_line(text) == expected.replace("\n", "\\n").replace("\t", "\\t")


@given(st.text(st.characters(codec=None, categories=["Cc", "Cf", "Cs", "Zl", "Zp"], include_characters="a\n")))
def test_text_and_tables_leave_the_program_without_control_characters(text: str) -> None:
    stream = io.StringIO()
    say(text, stream)
    console(stream).print(text)
    for character in stream.getvalue():
        assert character in "\n\t" or character not in _acted_on()


def _acted_on() -> str:
    ranges = [(0x00, 0x1F), (0x7F, 0x9F), (0x202A, 0x202E), (0x2066, 0x2069), (0xD800, 0xDFFF)]
    return "".join(chr(code) for first, last in ranges for code in range(first, last + 1))


def test_json_escapes_without_changing_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    class Result(BaseModel):
        name: str = "\x1b[31m\x7f\x9b\u202e, é, \n"

    with result_alone(json=False) as show:
        show(Result())
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": Result().name}
    assert not set(out) & (set(_acted_on()) - {"\n"})


def test_no_module_of_the_terminal_writes_by_itself() -> None:
    """Else its text would not go through `visible`."""
    folder = Path(cli.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        if path in (folder / "display" / "output.py", folder / "display" / "visible_console.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "Console", "typer.echo", "typer.secho", "click.echo", "os.write"), path
                assert not called.endswith((".stdout.write", ".stderr.write", "stream.write")), path

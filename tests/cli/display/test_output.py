import subprocess
import sys

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

import resource
import subprocess
import sys

import pytest

from cli import main as command
from trainables.errors import InputError, StudyFailedError, StudyInterruptedError, TuneError

_HEAVY = ["torch", "ray", "optuna", "mlflow", "pydantic", "numpy", "scipy", "sklearn", "torchvision", "yaml"]


def test_help_is_light() -> None:
    code = f"""
import sys
from cli.main import main
sys.argv = ["tune-cli", "--help"]
try:
    main()
finally:
    print("heavy:", *(name for name in {_HEAVY} if name in sys.modules))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "resume" in out
    assert out.splitlines()[-1] == "heavy:"


def test_help_answers_in_half_a_second() -> None:
    # Time on the processor, so that a busy machine does not matter.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", "from cli.main import main; main()", "-h"]
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("a"), 2), (StudyFailedError("b"), 1), (StudyInterruptedError("c"), 130), (TuneError("d"), 1)],
)
def test_an_error_for_a_person_is_its_message_and_an_exit_code(
    error: TuneError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(prog_name: str) -> None:
        raise error

    monkeypatch.setattr(command, "app", fail)
    with pytest.raises(SystemExit) as exit_:
        command.main()
    assert exit_.value.code == code
    assert capsys.readouterr().err == f"{error}\n"


def test_any_other_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(prog_name: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(command, "app", fail)
    with pytest.raises(ZeroDivisionError):
        command.main()


def test_a_misspelt_command_exits_2(run_cli) -> None:
    finished = run_cli("rnu", "study.yaml")
    assert finished.code == 2
    assert "rnu" in finished.err

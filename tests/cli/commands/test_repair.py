"""Damaged journals: what each command says, and `repair`."""

import json
from pathlib import Path

import pytest

from tuning.storage.paths import StudyFolder


@pytest.fixture
def damaged(study: StudyFolder) -> StudyFolder:
    """Epoch 2 of trial 2, the best of the study, is another number than was written."""
    content = study.journal.read_bytes()
    assert content.count(b"0.95") == 2
    study.journal.write_bytes(content.replace(b"0.95", b"0.35", 1))
    return study


@pytest.mark.parametrize(
    "command",
    [
        ("results", "digits-cnn"),
        ("results", "digits-cnn", "--json"),
        ("status", "digits-cnn"),
        ("resume", "digits-cnn"),
        ("test", "digits-cnn"),
        ("pick", "digits-cnn", "--max-parameters", "5e6"),
        ("sync", "digits-cnn"),
        ("run", "same.yaml", "--resume", "auto"),
    ],
)
def test_every_command_refuses_a_damaged_journal(tmp_path: Path, damaged, run_cli, command) -> None:
    before = damaged.journal.read_bytes()
    (tmp_path / "same.yaml").write_text(
        "{name: digits-cnn, data: {dataset: digits}, space: {model.filters: {choices: [8, 16]}}}"
    )
    finished = run_cli(*command)
    assert (finished.code, finished.out) == (2, "")
    assert "journal.jsonl:17: this line is damaged: its checksum" in finished.err
    assert "tune-cli repair digits-cnn" in finished.err
    assert damaged.journal.read_bytes() == before


def test_stop_has_nothing_to_stop_and_ui_reads_no_journal(damaged, run_cli) -> None:
    assert run_cli("stop", "digits-cnn").code == 0


@pytest.mark.slow
def test_a_study_warm_started_from_a_damaged_one_is_refused(tmp_path: Path, damaged, run_cli) -> None:
    (tmp_path / "other.yaml").write_text(
        "{name: other, data: {dataset: digits}, search: {warm_start: digits-cnn}, "
        "space: {model.filters: {choices: [8, 16]}}}"
    )
    finished = run_cli("run", "other.yaml")
    assert finished.code == 2
    assert "journal.jsonl:17: this line is damaged" in finished.err
    assert not (tmp_path / "studies" / "other").exists()


def test_the_list_of_studies_shows_the_damaged_one_and_goes_on(tmp_path: Path, damaged, events, run_cli) -> None:
    events.write(tmp_path / "studies", [events.opened(name="aaa")], name="aaa")
    events.write(tmp_path / "studies", [events.opened(name="zzz")], name="zzz")
    finished = run_cli("status")
    assert finished.code == 0
    assert "aaa: driver died" in finished.out
    assert "digits-cnn: unreadable: " in finished.out
    assert "zzz: driver died" in finished.out


def test_repair_shows_what_it_would_do_and_does_it_when_told_to(damaged, run_cli) -> None:
    before = damaged.journal.read_bytes()
    shown = run_cli("repair", "digits-cnn")
    assert shown.code == 2
    assert "line 17: its checksum is not that of its text" in shown.out
    assert "trial 2: epoch 2 is lost; it has failed now" in shown.out
    assert "--yes" in shown.err
    assert damaged.journal.read_bytes() == before
    done = run_cli("repair", "digits-cnn", "--yes")
    assert done.code == 0
    assert "kept as studies/digits-cnn/journal.jsonl.damaged-1" in done.out
    assert (damaged.path / "journal.jsonl.damaged-1").read_bytes() == before
    for command in ("results", "status"):
        said = run_cli(command, "digits-cnn").out
        assert "warning: the journal was repaired on " in said
        assert "a part of trials 2" in said
    found = json.loads(run_cli("results", "digits-cnn", "--json").out)
    assert found["champion"]["number"] == 6
    assert found["trials"][2]["state"] == "failed"
    assert len(found["caveats"]) == 1
    assert "nothing to repair" in run_cli("repair", "digits-cnn").out


def test_a_hint_leads_to_the_study_in_another_folder(tmp_path: Path, damaged, run_cli) -> None:
    (tmp_path / "studies").rename(tmp_path / "elsewhere")
    finished = run_cli("status", "digits-cnn", "--storage", "elsewhere")
    assert "`tune-cli repair digits-cnn --storage elsewhere`" in finished.err
    assert run_cli("repair", "digits-cnn", "--storage", "elsewhere", "--yes").code == 0


def test_a_journal_without_checksums_is_read_and_said_to_have_none(study, events, run_cli) -> None:
    study.journal.write_bytes(b"".join(event.model_dump_json().encode() + b"\n" for event in events.whole_study()))
    for command in ("results", "status"):
        finished = run_cli(command, "digits-cnn")
        assert finished.code == 0
        assert "written by version 0.1, without checksums" in finished.out

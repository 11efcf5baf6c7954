from pathlib import Path

import pytest

from search_spaces.schema import StudyConfig
from trainables.errors import InputError
from tuning.changes import going_on, study_changes
from tuning.storage.paths import StudyFolder


def _study(**changes: object) -> StudyConfig:
    content = {
        "name": "s",
        "data": {"dataset": "mnist", "root": "data"},
        "search": {"trials": 5, "time_budget": "1h"},
        "space": {"model.filters": {"choices": [8, 16]}},
    }
    return StudyConfig.model_validate(content | changes)


def _resumed(begun: StudyConfig, now: StudyConfig, *, accept_changes: bool = False) -> StudyConfig:
    return going_on(StudyFolder(Path("my studies"), begun.name), begun, now, accept_changes=accept_changes)


def test_an_unchanged_study_and_an_extended_one_show_no_change() -> None:
    assert study_changes(_study(), _study(search={"trials": 50, "time_budget": "8h"})) == ()


def test_a_larger_budget_extends_a_study_and_a_smaller_one_says_nothing() -> None:
    extended = _resumed(_study(), _study(search={"trials": 50, "time_budget": "8h"}))
    assert (extended.search.trials, extended.search.time_budget) == (50, 8 * 3600)
    assert _resumed(extended, _study()) == extended


def test_where_changes_are_accepted_the_budget_is_the_file_s() -> None:
    changed = _resumed(_study(), _study(search={"trials": 3}), accept_changes=True)
    assert (changed.search.trials, changed.search.time_budget) == (3, None)


def test_a_folder_is_the_same_however_it_is_written() -> None:
    assert study_changes(_study(), _study(data={"dataset": "mnist", "root": str(Path("data").resolve())})) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training": {"max_epochs": 3}}, "training.max_epochs: was 10, is 3"),
        ({"model": {"name": "softmax_regression"}}, "model.name: was cnn, is softmax_regression"),
        (
            {"space": {"model.filters": {"choices": [8]}}},
            "space.model.filters: was {'choices': [8, 16]}, is {",
        ),
        ({"search": {"trials": 5, "searcher": "random"}}, "search.searcher: was "),
    ],
)
def test_what_changed_is_named_with_both_values(changes: dict[str, object], said: str) -> None:
    assert str(study_changes(_study(), _study(**changes))[0]).startswith(said)


def test_a_parameter_that_is_new_or_gone_is_a_change() -> None:
    more = _study(space={"model.filters": {"choices": [8, 16]}, "model.blocks": {"choices": [1, 2]}})
    assert [change.path for change in study_changes(_study(), more)] == ["space.model.blocks"]
    assert [change.path for change in study_changes(more, _study())] == ["space.model.blocks"]


_ACCEPTED: dict[str, dict[str, object]] = {
    "resources.cpus_per_trial": {"resources": {"cpus_per_trial": 2}},
    "resources.memory_per_trial": {"resources": {"memory_per_trial": "1GiB"}},
    "search.patience": {"search": {"patience": 7}},
    "search.target": {"search": {"target": 0.9}},
    "search.searcher": {"search": {"searcher": "random"}},
    "search.keep_checkpoints": {"search": {"keep_checkpoints": 9}},
    "search.first": {"search": {"first": [{"model.filters": 16}]}},
    "confirm.top": {"confirm": {"top": 2}},
    "training.checkpoint_seconds": {"training": {"checkpoint_seconds": 600}},
    "space.model.filters": {"space": {"model.filters": {"low": 4, "high": 64}}},
    "space.model.blocks": {"space": {"model.filters": {"choices": [8, 16]}, "model.blocks": {"choices": [1, 2]}}},
}
_REFUSED: dict[str, dict[str, object]] = {
    "data.image_size": {"data": {"dataset": "mnist", "root": "data", "image_size": 14}},
    "data.split_seed": {"data": {"dataset": "mnist", "root": "data", "split_seed": 1}},
    "model.dropout": {"model": {"name": "cnn", "dropout": 0.5}},
    "optimizer.learning_rate": {"optimizer": {"name": "adamw", "learning_rate": 0.1}},
    "training.max_epochs": {"training": {"max_epochs": 3}},
    "search.objective": {"search": {"objective": "val_loss"}},
    "search.scheduler": {"search": {"scheduler": {"name": "asha", "grace_epochs": 2}}},
    "search.seed": {"search": {"seed": 1}},
    "space.training.max_epochs": {
        "space": {"model.filters": {"choices": [8, 16]}, "training.max_epochs": {"choices": [5]}}
    },
    "space.model.filters": {"space": {"model.blocks": {"choices": [1, 2]}}},
}


@pytest.mark.parametrize("path", _ACCEPTED)
def test_what_leaves_results_comparable_is_taken_over_when_asked_to(path: str) -> None:
    now = _study(**_ACCEPTED[path])
    with pytest.raises(InputError, match=rf"(?s){path}: was .*can be accepted.*--accept-changes"):
        _resumed(_study(), now)
    changed = _resumed(_study(), now, accept_changes=True)
    assert study_changes(changed, now) == ()
    assert changed.search == now.search
    # What the journal holds of it is what the next driver reads.
    assert StudyConfig.model_validate(changed.model_dump(mode="json", exclude_unset=True)) == changed


@pytest.mark.parametrize("path", _REFUSED)
@pytest.mark.parametrize("accept_changes", [False, True])
def test_what_would_make_results_incomparable_is_refused(path: str, accept_changes: bool) -> None:
    now = _study(**_REFUSED[path])
    with pytest.raises(
        InputError, match=rf"(?s){path}: was .*refused: .*another --name.*resume s --storage 'my studies'`"
    ) as refusal:
        _resumed(_study(), now, accept_changes=accept_changes)
    assert "--accept-changes" not in str(refusal.value)


def test_one_refused_change_keeps_the_others_from_being_taken_over() -> None:
    now = _study(training={"max_epochs": 3}, resources={"max_concurrent": 1})
    with pytest.raises(
        InputError, match=r"(?s)max_epochs: .*refused.*max_concurrent: was None, is 1 \(can be accepted\)"
    ):
        _resumed(_study(), now, accept_changes=True)


def test_the_last_round_s_trials_are_budget_and_all_else_of_rounds_is_not() -> None:
    def staged(first: int, last: int, filters: list[int]) -> StudyConfig:
        stages = [{"parameters": ["model.filters"], "trials": first}, {"parameters": ["model.blocks"], "trials": last}]
        space = {"model.filters": {"choices": filters}, "model.blocks": {"choices": [1, 2]}}
        return _study(search={"stages": stages}, space=space)

    begun = staged(3, 4, [8, 16])
    extended = _resumed(begun, staged(3, 9, [8, 16]))
    assert [stage.trials for stage in extended.search.stages] == [3, 9]
    assert _resumed(extended, begun) == extended
    assert _resumed(extended, begun, accept_changes=True) == begun
    for now in (staged(5, 4, [8, 16]), staged(3, 4, [8, 16, 32])):
        with pytest.raises(InputError, match="refused: .*the stages so far"):
            _resumed(begun, now, accept_changes=True)


def test_a_parameter_under_another_condition_is_refused() -> None:
    space = {"optimizer.name": {"choices": ["sgd", "adam"]}, "optimizer.momentum": {"choices": [0.0, 0.9]}}
    conditional = {**space, "optimizer.momentum": {"choices": [0.0, 0.9], "when": {"optimizer.name": "sgd"}}}
    for begun, now in ((space, conditional), (conditional, space)):
        (change,) = study_changes(_study(space=begun), _study(space=now))
        assert (change.path, bool(change.refused)) == ("space.optimizer.momentum", True)


def test_weights_are_the_same_whether_the_file_or_the_journal_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.pth").touch()
    kept = str(StudyFolder(tmp_path, "s").registered("models:/other@champion") / "weights.pt")
    for written, recorded in (("mine.pth", str(tmp_path / "mine.pth")), ("models:/other@champion", kept)):
        begun = _study(model={"name": "backbone", "weights": recorded}, space=_freezing(recorded))
        now = _study(model={"name": "backbone", "weights": written}, space=_freezing(written))
        assert study_changes(begun, now) == ()
        assert _resumed(begun, now, accept_changes=True) == begun
    assert study_changes(begun, _study(model={"name": "backbone", "weights": "none"}, space=_freezing(recorded))) != ()


def _freezing(weights: str) -> dict[str, object]:
    return {"model.freeze_depth": {"choices": [0, "all"], "when": {"model.weights": weights}}}

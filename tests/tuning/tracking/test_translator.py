"""Events to runs, without MLflow."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tuning.storage.journal import StudyEnded, TrialStarted, read_events
from tuning.tracking.translator import PARENT, Translator, flatten


def merged(pieces):
    """What the updates of all pieces add up to."""
    runs = {}
    for updates in pieces:
        for number, update in updates.items():
            run = runs.setdefault(number, {"params": {}, "tags": {}, "metrics": [], "status": None})
            run["params"] |= update.params
            run["tags"] |= update.tags
            run["metrics"] += update.metrics
            run["status"] = update.status or run["status"]
    return runs


def written(study):
    study.open()
    for number in range(3):
        study.propose(number)
    for number in range(3):
        study.epochs(number, 1, 2)
    study.write(TrialStarted(number=1))
    study.epochs(1, 2, 3)
    study.finish(1)
    study.write(StudyEnded(state="interrupted", reason="SIGTERM"))
    study.open(trials=9)
    study.finish(0, "stopped", "rung 2")
    study.end()
    return [event for event, _ in read_events(study.folder.journal)]


def test_pieces_of_any_length_add_up_to_the_same(study):
    events = written(study)
    whole = merged([Translator().translate(events)])

    @given(st.sets(st.integers(0, len(events))))
    def check(cuts):
        translator = Translator()
        bounds = [0, *sorted(cuts), len(events)]
        pieces = [translator.translate(events[a:b]) for a, b in pairwise(bounds)]
        assert merged(pieces) == whole

    check()


def test_a_minimised_objective_goes_down(study):
    study.open(objective="val_loss")
    for number in (0, 3, 1):
        study.trial(number)
    update = Translator().translate(event for event, _ in read_events(study.folder.journal))[PARENT]
    best = [point.value for point in update.metrics if point.key == "best_val_loss"]
    assert len(best) == 3
    assert best == sorted(best, reverse=True)


def test_flatten():
    settings = {"name": "x", "model": {"filters": 8, "widths": [1, 2]}, "none": None, "empty": {}, "on": True}
    expected = {"name": "x", "model.filters": "8", "model.widths": "[1,2]", "none": "null", "empty": "{}", "on": "true"}
    assert flatten(settings) == expected

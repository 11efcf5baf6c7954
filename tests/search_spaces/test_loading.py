import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_spaces.loading import StudyFileError, load_study
from trainables.config.optimizer import AdamWConfig
from trainables.errors import InputError

HEAD = "name: s\ndata: {dataset: digits}\n"
SPACE = "space: {model.filters: {choices: [8, 16]}}\n"


def problems(folder: Path, text: str, *overrides: str, environment: dict[str, str] | None = None) -> list[str]:
    """Problems of a file `s.yaml` with this text, without the folder's name."""
    path = folder / "s.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyFileError) as caught:
        load_study(path, overrides, environment or {})
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


def loaded(folder: Path, text: str, *overrides: str, environment: dict[str, str] | None = None):
    path = folder / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return load_study(path, overrides, environment or {})


def test_a_good_file_becomes_a_typed_study(tmp_path):
    study = loaded(
        tmp_path, HEAD + "training: {max_epochs: 3}\nsearch: {time_budget: 1h30m, searcher: random}\n" + SPACE
    )
    assert study.name == "s"
    assert study.training.max_epochs == 3
    assert study.optimizer == AdamWConfig()
    assert study.search.time_budget == 5400.0
    assert study.search.searcher.name == "random"
    assert study.space["model.filters"].choices == [8, 16]


BAD_FILES = {
    "empty": ("", ["s.yaml:1: is empty; a study file needs at least name, data and space"]),
    "only a comment": ("# nothing\n", ["s.yaml:1: is empty; a study file needs at least name, data and space"]),
    "a list": (
        "- a\n",
        ["s.yaml:1: contains a list; a study file is a mapping of keys to values, such as `name: my-study`"],
    ),
    "not YAML": (
        "name: s\ndata: [1, 2\nspace: {}\n",
        ["s.yaml:3: not YAML: while parsing a flow sequence that begins on line 2, expected ',' or ']', but got ':'"],
    ),
    "unknown key": (
        HEAD + "training:\n  max_epoch: 3\n" + SPACE,
        ["s.yaml:4: training.max_epoch: unknown key; did you mean `max_epochs`? One of: max_epochs, batch_size, "],
    ),
    "unknown section": (
        HEAD + "serch: {trials: 3}\n" + SPACE,
        ["s.yaml:3: serch: unknown key; did you mean `search`? One of: data, model, "],
    ),
    "duplicate key": (
        HEAD + SPACE + "training: {max_epochs: 3}\ntraining: {max_epochs: 4}\n",
        ["s.yaml:5: training: written twice, first on line 4; keep one"],
    ),
    "duplicate parameter": (
        HEAD
        + "space:\n  model.filters: {choices: [8]}\n  model.blocks: {low: 1, high: 2}\n"
        + "  model.filters: {choices: [9]}\n",
        ["s.yaml:6: space.model.filters: written twice, first on line 4; keep one"],
    ),
    "wrong type": (
        HEAD + "training: {max_epochs: many}\n" + SPACE,
        ["s.yaml:3: training.max_epochs: got 'many'; expected a whole number (1 to 1,000,000)"],
    ),
    "a boolean for a number": (
        HEAD + "training: {max_epochs: yes}\n" + SPACE,
        ["s.yaml:3: training.max_epochs: got True; expected a whole number (1 to 1,000,000)"],
    ),
    "a number for text": (
        "name: 2024\ndata: {dataset: digits}\n" + SPACE,
        ["s.yaml:1: name: got 2024; expected text: letters, digits, `.`, `_`, `-`; put quotes around it"],
    ),
    "out of bounds": (
        HEAD + "model: {name: cnn, dropout: 1.5}\n" + SPACE,
        ["s.yaml:3: model.dropout: got 1.5; expected a number (at least 0 and below 1)"],
    ),
    "one of two types": (
        HEAD + "model: {name: cnn, padding: -1}\n" + SPACE,
        ["s.yaml:3: model.padding: got -1; expected a whole number (0 to 1,024) or `same`"],
    ),
    "a value where a section belongs": (
        HEAD + "training: 3\n" + SPACE,
        ["s.yaml:3: training: got 3; expected a mapping"],
    ),
    "low above high": (
        HEAD + "space:\n  model.filters: {low: 9, high: 3}\n",
        ["s.yaml:4: space.model.filters: low 9 is above high 3"],
    ),
    "log with zero": (
        HEAD + "space:\n  optimizer.learning_rate: {low: 0, high: 1, log: true}\n",
        ["s.yaml:4: space.optimizer.learning_rate: log needs low above 0, got 0"],
    ),
    "unknown data set": (
        "name: s\ndata: {dataset: minst}\n" + SPACE,
        [
            "s.yaml:2: data.dataset: unknown value 'minst'; did you mean `mnist`? "
            "One of: digits, mnist, fashion_mnist, cifar10, cifar100, image_folder"
        ],
    ),
    "unknown model": (
        HEAD + "model: {name: cmn}\n" + SPACE,
        [
            "s.yaml:3: model.name: unknown name 'cmn'; did you mean `cnn`? "
            "One of: attention_cnn, backbone, cnn, conv_net, fully_connected, softmax_regression"
        ],
    ),
    "model without name": (
        HEAD + "model: {filters: 3}\n" + SPACE,
        ["s.yaml:3: model.name: is missing; one of: attention_cnn, backbone, cnn, "],
    ),
    "when on a missing parameter": (
        HEAD
        + "space:\n  optimizer.name: {choices: [sgd, adam]}\n"
        + "  optimizer.momentum: {low: 0, high: 0.9, when: {optimizer.nam: sgd}}\n",
        ["s.yaml:5: space.optimizer.momentum.when.optimizer.nam: no such parameter; did you mean `optimizer.name`?"],
    ),
    "empty space": (
        HEAD + "space: {}\n",
        ["s.yaml:3: space: is empty; give a mapping, for example model.filters: {choices: [16, 32]}"],
    ),
    "a space written as sections": (
        HEAD + "space:\n  model:\n    filters: {choices: [8]}\n",
        [
            "s.yaml:4: space.model: is a section; name a field in it, for example model.name",
            "s.yaml:5: space.model.filters: unknown key; one of: choices, low, high, log, step, when",
        ],
    ),
    "no space": (
        HEAD,
        ["s.yaml:1: space: is missing; give a mapping, for example model.filters: {choices: [16, 32]}"],
    ),
    "no data": ("name: s\n" + SPACE, ["s.yaml:1: data: is missing; give a mapping with at least dataset"]),
    "folder without root": (
        "name: s\ndata: {dataset: image_folder}\n" + SPACE,
        ["s.yaml:2: data: image_folder needs data.root, the folder that contains train/CLASS/*"],
    ),
    "a name that is no folder": (
        "name: a/b\ndata: {dataset: digits}\n" + SPACE,
        ["s.yaml:1: name: got 'a/b'; expected text: letters, digits, `.`, `_`, `-`"],
    ),
    "a duration": (
        HEAD + "search: {time_budget: 3 weeks}\n" + SPACE,
        ["s.yaml:3: search.time_budget: not a duration: '3 weeks'; write seconds or for example 90s, 30m, 8h, 1h30m"],
    ),
    "variable not set": (
        "name: s\ndata: {dataset: mnist, root: ${DATA_ROOT}}\n" + SPACE,
        ["s.yaml:2: data.root: the environment variable DATA_ROOT is not set; set it, or write ${DATA_ROOT:-default}"],
    ),
    "variable cannot be read": (
        "name: s\ndata: {dataset: mnist, root: '${1X}'}\n" + SPACE,
        ["s.yaml:2: data.root: cannot read ${1X}; write ${NAME} or ${NAME:-default}"],
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_each_bad_file_says_what_is_wrong_where(case, tmp_path):
    text, expected = BAD_FILES[case]
    found = problems(tmp_path, text)
    assert len(found) == len(expected), found
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path):
    text = """\
name: a b
data: {dataset: digit}
model: {name: cnn, fliters: 3}
optimizer: {name: adam, learning_rate: -1}
optimizer: {name: sgd}
search: {searcher: tep}
space:
  model.filters: {low: 3, high: 1}
  model.activation: {choices: [relu, rleu]}
  model.kernel: {choices: [3]}
  model.blocks: {low: 1.5, high: 3}
  optimizer.momentum: {low: 0, high: 0.9}
"""
    found = problems(tmp_path, text)
    keys = [line.split(": ")[0:2] for line in found]
    assert keys == [
        ["s.yaml:1", "name"],
        ["s.yaml:2", "data.dataset"],
        ["s.yaml:3", "model.fliters"],
        ["s.yaml:4", "optimizer.learning_rate"],
        ["s.yaml:5", "optimizer"],
        ["s.yaml:6", "search.searcher.name"],
        ["s.yaml:8", "space.model.filters"],
        ["s.yaml:9", "space.model.activation.choices[1]"],
        ["s.yaml:10", "space.model.kernel"],
        ["s.yaml:11", "space.model.blocks.low"],
        ["s.yaml:12", "space.optimizer.momentum"],
    ]


def test_problems_are_input_errors():
    assert issubclass(StudyFileError, InputError)


def test_a_missing_file_names_its_neighbour(tmp_path):
    (tmp_path / "mnist.yaml").touch()
    with pytest.raises(StudyFileError, match=r"mnits\.yaml: no such file; did you mean .*/mnist\.yaml\?"):
        load_study(tmp_path / "mnits.yaml")


def test_a_missing_file_lists_what_there_is(tmp_path):
    (tmp_path / "b.yml").touch()
    (tmp_path / "a.yaml").touch()
    with pytest.raises(StudyFileError, match=r"no such file; .* has a\.yaml, b\.yml"):
        load_study(tmp_path / "something_else.yaml")


def test_a_missing_folder(tmp_path):
    with pytest.raises(StudyFileError, match=r"no such file; the folder .*/nowhere does not exist"):
        load_study(tmp_path / "nowhere" / "s.yaml")


def test_a_folder_is_no_study_file(tmp_path):
    with pytest.raises(StudyFileError, match="is a folder; name a study file in it"):
        load_study(tmp_path)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "s.yaml").write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(StudyFileError, match=r"is not UTF-8 text \(byte 6\)"):
        load_study(tmp_path / "s.yaml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "s.yaml").touch(mode=0o000)
    with pytest.raises(StudyFileError, match="cannot be read: Permission denied"):
        load_study(tmp_path / "s.yaml")


def test_overrides_win_and_later_ones_over_earlier(tmp_path):
    study = loaded(tmp_path, HEAD + "search: {trials: 3}\n" + SPACE, "search.trials=4", "search.trials=5")
    assert study.search.trials == 5


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("search.trials=many", "search.trials: got 'many'; expected a whole number (1 to 1,000,000)"),
        ("serch.trials=3", "serch: unknown key; did you mean `search`?"),
        ("search.trails=3", "search.trails: unknown key; did you mean `trials`?"),
        ("training.max_epochs", "write key=value, for example search.trials=50"),
        ("=3", "write key=value, for example search.trials=50"),
        ("search.trials=[1", "search.trials: not YAML: while parsing a flow sequence"),
        ("search.trials.x=1", "search.trials: got {'x': 1}; expected a whole number"),
        ("name.x=1", "name.x: name is 's', not a mapping"),
        ("space.model.filters.choices=[8, 8]", "space.model.filters.choices[1]: 8 is listed twice; keep one"),
        ("space.model.filters={low: 9, high: 3}", "space.model.filters: low 9 is above high 3"),
        (
            "space.model.fliters.choices=[8]",
            "space.model.fliters: no such field; did you mean `model.filters`?",
        ),
        ("data.root=${NOWHERE}", "data.root: the environment variable NOWHERE is not set"),
    ],
)
def test_a_wrong_override_is_located_as_itself(override, expected, tmp_path):
    (found,) = problems(tmp_path, HEAD + SPACE, override)
    assert found.startswith(f"--set {override}: {expected}")


def test_an_override_repairs_what_the_file_has_wrong(tmp_path):
    study = loaded(tmp_path, HEAD + "training: {max_epochs: none}\n" + SPACE, "training.max_epochs=2")
    assert study.training.max_epochs == 2


def test_an_override_stands_in_for_a_variable_that_is_not_set(tmp_path):
    text = "name: s\ndata: {dataset: mnist, root: '${NOWHERE}'}\n" + SPACE
    assert loaded(tmp_path, text, "data.root=/d").data.root == Path("/d")


def test_variables_are_read_from_the_environment(tmp_path):
    text = "name: s\ndata: {dataset: mnist, root: ${ROOT:-data}/mnist}\ntraining: {max_epochs: ${EPOCHS:-7}}\n" + SPACE
    assert loaded(tmp_path, text).data.root == Path("data/mnist")
    study = loaded(tmp_path, text, environment={"ROOT": "/d", "EPOCHS": "2"})
    assert study.data.root == Path("/d/mnist")
    assert study.training.max_epochs == 2


def _answer(path: Path) -> tuple[str, ...]:
    """The problems of a file; none where it is good. Any other exception is a failure."""
    try:
        load_study(path, environment={})
    except StudyFileError as error:
        return error.problems
    return ()


FRAGMENTS = st.sampled_from(
    ["name: s\n", "data: {dataset: digits}\n", "data: {dataset: x}\n", "space:\n", "space: {}\n", "model: {name: cnn, ",
     "  model.filters: {choices: [1, 2]}\n", "  model.filters: {low: 1, high: 3}\n", "\t", "*a", "\x00", "!!int", "? ",
     "  optimizer.name: {choices: [sgd]}\n", "  x: {when: {model.filters: 1}, choices: [1]}\n", "  a: &a {<<: *a}\n",
     "${X}", "${", "}", "- 1\n", ": ", "search: {trials: .nan, first: [{model.filters: 3}, 3]}\n", "--- ",
     "  model.dense_units: {low: 1, high: 1e400}\n"]
)  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(FRAGMENTS | st.text(max_size=5), max_size=10))
def test_whatever_the_file_holds_problems_are_the_only_answer(parts, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("".join(parts), encoding="utf-8", errors="replace")
    assert all(problem.startswith(f"{path}:") for problem in _answer(path))


KEYS = st.sampled_from(
    ["name", "data", "dataset", "model", "blocks", "filters", "optimizer", "momentum", "search", "searcher", "first",
     "trials", "space", "choices", "low", "high", "log", "step", "when", "model.name", "model.filters", "model.head",
     "optimizer.name", "optimizer.momentum", "schedule.gamma", "data.root", "x"]
)  # fmt: skip
SCALARS = st.sampled_from(["digits", "cnn", "backbone", "sgd", "adam", "linear", True, None, 0, 1, 2.5, -1, 1e9, ""])
CONTENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)
PARAMETERS = st.dictionaries(KEYS, CONTENTS, max_size=4)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(extra=st.dictionaries(KEYS, CONTENTS, max_size=4), space=st.dictionaries(KEYS, PARAMETERS, max_size=5))
def test_whatever_a_mapping_holds_problems_are_the_only_answer(extra, space, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "data": {"dataset": "digits"}, **extra, "space": space}))
    assert all(problem.startswith(f"{path}:") for problem in _answer(path))


def test_reading_a_study_imports_nothing_heavy():
    code = (
        "import sys, search_spaces.loading, search_spaces.composition, trainables.config;"
        "print(sorted({'torch', 'torchvision', 'ray', 'optuna', 'mlflow', 'numpy'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"

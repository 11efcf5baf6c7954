import pytest

from cli.commands.zoo import Category


@pytest.mark.parametrize("category", Category)
def test_every_shelf_lists_something(category: Category, run_cli) -> None:
    finished = run_cli("zoo", category)
    assert finished.code == 0
    assert len(finished.out.splitlines()) >= 2
    assert "torch" not in finished.modules


def test_the_whole_zoo_is_listed_by_shelf(run_cli) -> None:
    out = run_cli("zoo").out
    assert "schedulers: asha" in out
    assert "optimizers: sgd" in out


def test_one_thing_shows_its_options_with_defaults_and_meaning(run_cli) -> None:
    lines = run_cli("zoo", "models", "cnn").out.splitlines()
    filters = next(line for line in lines if line.startswith("filters "))
    assert filters.split()[:5] == ["filters", "int", "32", "Filters", "of"]


@pytest.mark.parametrize(
    ("category", "name", "message"),
    [
        ("optimizers", "adan", "sgd, asgd, adam"),
        ("datasets", "mnist", "tune-cli zoo datasets"),
        ("augmentation", "mixup", "tune-cli zoo augmentation"),
        ("models", "resnet19", "did you mean resnet18"),
    ],
)
def test_an_unknown_name_is_answered_with_what_there_is(category: str, name: str, message: str, run_cli) -> None:
    finished = run_cli("zoo", category, name)
    assert finished.code == 2
    assert message in finished.err


def test_an_architecture_shows_its_stages(run_cli) -> None:
    finished = run_cli("zoo", "models", "resnet18")
    assert finished.code == 0
    assert [line.split()[1] for line in finished.out.splitlines()[3:]] == [
        "stem",
        "layer1",
        "layer2",
        "layer3",
        "layer4",
    ]

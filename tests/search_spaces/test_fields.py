import pytest

from search_spaces.fields import expected_value, field_paths, has_variants, numeric_kind, owners, variants
from trainables.config import TrainingConfig, TrialConfig
from trainables.config.optimizer import RmsPropConfig, SgdConfig


def test_every_section_has_its_classes():
    assert variants("training") == {"": TrainingConfig}
    assert not has_variants("training")
    assert variants("optimizer")["sgd"] is SgdConfig
    assert has_variants("optimizer")
    for section in TrialConfig.model_fields:
        for name, cls in variants(section).items():
            assert name == "" or cls().name == name


def test_what_is_no_section():
    with pytest.raises(KeyError):
        variants("nothing")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("optimizer.momentum", {"sgd": SgdConfig, "rmsprop": RmsPropConfig}),
        ("training.seed", {"": TrainingConfig}),
        ("optimizer.nothing", {}),
        ("nothing.seed", {}),
        ("training", {}),
    ],
)
def test_owners_of_a_field(path, expected):
    assert owners(path) == expected


def test_fields_of_a_section_or_of_some_variants():
    assert field_paths("optimizer", ["adagrad"]) == [
        "optimizer.learning_rate",
        "optimizer.weight_decay",
        "optimizer.decay_norms_and_biases",
        "optimizer.backbone_learning_rate_factor",
        "optimizer.name",
    ]
    everything = field_paths("optimizer")
    assert len(everything) == len(set(everything))
    assert {"optimizer.nesterov", "optimizer.beta1", "optimizer.alpha"} < set(everything)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("model.padding", "int"),
        ("model.dropout", "float"),
        ("model.name", None),
        ("data.channels", None),
        ("x.y", None),
    ],
)
def test_kinds_of_number(path, kind):
    assert numeric_kind(path) == kind


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("model.padding", "a whole number (0 to 1,024) or `same`"),
        ("model.convolutions", "a list, each a whole number (1 to 65,536)"),
        ("model.batch_norm", "true or false"),
        ("model.filter_organisation", "one of: same, double, halve"),
        ("optimizer.learning_rate", "a number (above 0 and at most 1e+30)"),
        ("data.root", "text"),
    ],
)
def test_what_a_field_takes_in_words(path, words):
    assert expected_value(path) == words

"""Study files made to hurt, each with its right answer."""

from dataclasses import dataclass
from typing import Any

from tests.fuzz.strategies import written

FREE: dict[str, Any] = {"training.seed": {"low": 1, "high": 9}}
FILTERS: dict[str, Any] = {"model.filters": {"choices": [1, 2]}}


@dataclass(frozen=True)
class Hostile:
    """A study file."""

    name: str
    text: str
    said: str | None
    """In the message of the error, exit code 2; None: the file is good, exit code 0."""


def _study(name: str, said: str | None, space: dict[str, Any] = FREE, **sections: Any) -> Hostile:
    content = {"name": "s", "data": {"dataset": "digits"}} | sections | {"space": space}
    return Hostile(name, written(content), said)


def _choices(name: str, said: str | None, values: list[Any], path: str = "model.filters", **sections: Any) -> Hostile:
    return _study(name, said, {path: {"choices": values}}, **sections)


def _range(name: str, said: str | None, path: str, low: Any, high: Any, **more: Any) -> Hostile:
    return _study(name, said, {path: {"low": low, "high": high, **more}})


def _model(name: str, said: str | None, model: str, **fields: Any) -> Hostile:
    return _study(name, said, model={"name": model, **fields})


def _text(name: str, said: str | None, text: str) -> Hostile:
    return Hostile(name, text, said)


_GOOD = _study("good", None).text
_PROBABILITIES = [
    f"augmentation.{name}"
    for name in (
        "horizontal_flip",
        "vertical_flip",
        "brightness",
        "contrast",
        "saturation",
        "sharpness",
        "mixup",
        "cutmix",
    )
]
_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)

VALUES = [
    _choices("90,000 choices", "characters long; a study file has at most 262,144", list(range(1, 90_001))),
    _choices("20,000 choices", "more than 20,000 values", list(range(1, 20_001))),
    _choices("10,001 choices", "has 10,001 entries; at most 10,000 are allowed", list(range(1, 10_002))),
    _choices("10,000 choices", None, list(range(1, 10_001))),
    _choices("10,000 wrong choices", "choices[0]: got 'x1'", [f"x{index}" for index in range(1, 10_001)]),
    _choices("10,000 equal choices", "choices[1]: 1 is listed twice; keep one", [1] * 10_000),
    _choices("4,000 lists", None, [[n, 1] for n in range(1, 4_001)], "model.convolutions", model={"name": "conv_net"}),
    _study(
        "10,000 choices that only some of 10,000 others allow",
        None,
        {
            "optimizer.nesterov": {"choices": [True, False]},
            "optimizer.momentum": {"choices": [0.0, *(n / 10_000 for n in range(1, 9_990))]},
        },
        optimizer={"name": "sgd"},
    ),
    _study(
        "a condition on 1,000 of 9,000 choices",
        None,
        {
            "model.filters": {"choices": list(range(1, 9_001))},
            "model.dense_units": {"choices": [1, 2], "when": {"model.filters": list(range(1, 1_001))}},
        },
    ),
    _study(
        "a product of conditions",
        None,
        {path: {"low": 0, "high": 1, "step": 0.01} for path in _PROBABILITIES}
        | {
            "model.dropout": {
                "choices": [0.1],
                "when": {path: [n / 100 for n in range(100)] for path in _PROBABILITIES},
            }
        },
    ),
    _study(
        "a product of conditions that cannot hold",
        None,  # looked for among the first 5,000 combinations
        {path: {"choices": [n / 10 for n in range(10)]} for path in _PROBABILITIES}
        | {"model.blocks": {"choices": [1], "when": {"model.filters": 1}}}
        | {"model.filters": {"choices": [1, 2], "when": dict.fromkeys(_PROBABILITIES, 0.9)}},
    ),
    _range("a step of 1e-300", "step 1e-300 makes 5e+299 values from 0 to 0.5", "model.dropout", 0, 0.5, step=1e-300),
    _range("a million steps", None, "model.dropout", 0, 0.5, step=5e-7),
    _range("a range to 1e30", "high: got 1e+30; expected a whole number (1 to 65,536)", "model.filters", 1, 1e30),
    _range("the widest range", None, "optimizer.learning_rate", 1e-30, 1e30, log=True),
    _range("an infinite width", "expected a number (-1e+30 to 1e+30)", "optimizer.learning_rate", -1.7e308, 1.7e308),
    _range("infinity", "got inf", "optimizer.learning_rate", 0.1, float("inf")),
    _range("not a number", "got nan", "optimizer.learning_rate", 0.1, float("nan")),
    _choices("infinity in a list", "choices[0]: got [inf]", [[float("inf")]]),
    _study(
        "a mapping for a value that a condition asks for",
        "space.model.filters.when.model.blocks: got [{}, 1]; expected",
        {"model.blocks": {"choices": [1, 2]}, "model.filters": {"choices": [1], "when": {"model.blocks": [{}, 1]}}},
    ),
    _study(
        "a list for a name",
        "choices[0]: unknown name [8]; one of: adagrad",
        {"optimizer.name": {"choices": [[8], "sgd"]}, "optimizer.momentum": {"choices": [0.9]}},
    ),
    _model("50,000 layers", "more than 20,000 values", "fully_connected", hidden=[8] * 50_000),
    _model("257 layers", "model.hidden: has 257 entries; at most 256 are allowed", "fully_connected", hidden=[8] * 257),
    _model("a billion blocks", "got 1000000000.0; expected a whole number (1 to 256)", "cnn", blocks=1e9),
    _model("as many blocks as there may be", None, "cnn", blocks=256),
    _model("1e18 filters", "got 1e+18; expected a whole number (1 to 65,536)", "cnn", filters=1e18),
    _study(
        "an image of 1e9 pixels", "expected a whole number (1 to 8,192)", data={"dataset": "digits", "image_size": 1e9}
    ),
    _study(
        "1e18 trials", "search.trials: got 1e+18; expected a whole number (1 to 1,000,000)", search={"trials": 1e18}
    ),
    _study("ages", "search.time_budget: got 1e+18; expected a number (above 0 and", search={"time_budget": 1e18}),
    _study("ages in hours", "search.time_budget: got inf", search={"time_budget": "9" * 400 + "h"}),
    _study("no duration", "not a duration", search={"time_budget": "9" * 5_000 + "x"}),
    _study("endless memory", "write bytes, or for example 4GiB", resources={"memory_per_trial": "9" * 300 + "PiB"}),
    _study("the smallest share of a GPU", "at least 0.0001", resources={"gpus_per_trial": 5e-324}),
    _study(
        "the largest seed",
        None,
        search={"seed": 2**32 - 1, "stages": [{"parameters": ["training.seed"], "trials": 2}] * 2},
    ),
    _study(
        "21 stages", "at most 20 are allowed", search={"stages": [{"parameters": ["training.seed"], "trials": 2}] * 21}
    ),
    _study(
        "a million epochs, decided one by one", None, training={"max_epochs": 10**6}, search={"scheduler": "median"}
    ),
    _study(
        "1,000 wrong first ones",
        "and 1 more problems",
        search={"trials": 1_001, "first": [{"model.filtrs": 1}] * 1_000},
    ),
    _study(
        "201 parameters",
        "space: has 201 entries; at most 200 are allowed",
        {f"model.k{n}": {"choices": [1]} for n in range(201)},
    ),
    _study("501 keys", "501 keys in one mapping", model={f"k{n}": 1 for n in range(501)}),
    _study("499 unknown keys", "problems like these", model={"name": "cnn", **{f"k{n}": 1 for n in range(499)}}),
    _study("a key of 201 characters", "a key must be plain text of at most 200 characters", model={"k" * 201: 1}),
    _study("a long path", "is 300 bytes long; a path has", data={"dataset": "digits", "root": "a" * 300}),
    _study("an escape sequence", "contains the character '\\x1b', which is not text", data={"dataset": "\x1b[2J"}),
    _study("half a character", "contains the character '\\ud800', which is not text", data={"dataset": "\ud800"}),
    _study(
        "a null character",
        "contains the character '\\x00', which is not text",
        data={"dataset": "digits", "root": "a\0"},
    ),
    _study(
        "characters that stand for a variable", "contains the character '\\ue000'", data={"dataset": "\ue0007\ue001"}
    ),
]
"""Wrong and large values."""

MODELS = [
    _model("256 dense layers", None, "fully_connected", hidden=[65_536] * 256),
    _model("two large dense layers", None, "fully_connected", hidden=[60_000, 60_000]),
    _model("256 convolutions", None, "conv_net", convolutions=[8] * 256, pool_after=[]),
    _model("the largest convolutions", None, "conv_net", convolutions=[65_536] * 256, kernel_size=1_024, padding=1_024),
    _model("256 attention blocks", None, "attention_cnn", widths=[64] * 256, branches=256),
    _model("the largest attention blocks", None, "attention_cnn", widths=[65_536] * 100, branches=1, pool_size=1_024),
    _model("the largest head", None, "backbone", head="conv", head_units=[65_536] * 20, head_kernel_size=1_024),
    _study("the largest image", None, data={"dataset": "digits", "image_size": 8_192}),
    _study(
        "the largest network on the largest image",
        None,
        data={"dataset": "digits", "image_size": 8_192},
        model={"name": "cnn", "blocks": 13, "filters": 65_536},
    ),
    _study(
        "a transformer on the largest image",
        None,
        data={"dataset": "digits", "image_size": 8_192},
        model={"name": "backbone", "architecture": "vit_b_16"},
    ),
]
"""Networks at the bounds; those that no machine can train are infeasible, which `plan` reports."""

TEXTS = [
    _text("nested deeply", "not YAML: nested more than 50 deep", "[" * 200_000),
    _text("nested deeply in mappings", "not YAML: nested more than 50 deep", "{a: " * 60_000),
    _text("one long line", "data: is missing", "a: " + "x" * 250_000),
    _text("many items", "more than 20,000 values", "- \n" * 80_000),
    _text("many small items", "more than 20,000 values", "[" + "a," * 130_000 + "]"),
    _text("a billion laughs", "more than 20,000 values, counting aliases", _BOMB),
    _text("a chain of merges", "aliases nest it more than 50 deep", "k0: &a0 {x: 1}\n" + "".join(
        f"k{n}: &a{n} {{<<: *a{n - 1}}}\n" for n in range(1, 400)
    )),
    _text("a merge of itself", "aliases nest it more than 50 deep", "a: &a {<<: *a}\n"),
    _text("an alias of itself", "aliases nest it more than 50 deep", "a: &a [*a]\n"),
    _text("an escape beyond Unicode", "not YAML: ", 'a: "\\U99999999"'),
    _text("an escape just beyond Unicode", "not YAML: ", 'a: "\\U00110000"'),
    _text("a version of 5,000 digits", "not YAML: ", "%YAML 1." + "9" * 5_000 + "\n---\na: 1\n"),
    _text("an empty float", "'' is not a number", "a: !!float ''"),
    _text("a float of sixties", "'1:30' is not a number", "a: !!float 1:30"),
    _text("a stand-in for a variable, raw", "contains the character '\\ue000'", "name: \ue000999999\ue001\n"),
    _text("many variables", "the variables expand to more than 262,144 characters", "a: [" + "'${LONG}', " * 300 + "]"),
    _text("5,000 digits", "is not a whole number of at most 64 bits", "name: s\nsearch: {trials: " + "9" * 5_000 + "}"),
    _text("a set", "the tag !!set is not supported", "a: !!set {b, c}"),
    _text("a byte order mark", None, "\ufeff" + _GOOD),
    _text("Windows line ends", None, _GOOD.replace(", ", ",\r\n")),
    _text("a key that is a list", "a key must be plain text", "? [a]\n: b"),
    _text("other than text keys", "true: unknown key", _GOOD[:-1] + ", true: 1, 3: 2, null: 3}"),
]  # fmt: skip
"""YAML as such."""

EVERY = [*VALUES, *MODELS, *TEXTS]

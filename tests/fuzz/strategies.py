"""Study files that nobody would write."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from search_spaces.fields import field_paths
from trainables.config import TrialConfig

SHIPPED = sorted(Path(__file__).parents[2].joinpath("search_spaces").rglob("*.yaml"))
TEXTS = [path.read_text() for path in SHIPPED]

NUMBERS = [
    0, 1, 2, 3, 16, -1, 255, 257, 65_536, 65_537, 10**6, 10**9, 2**31, 2**32 - 1, 2**53 + 1, 2**63, 10**18, 10**30,
    10**310,
    0.0, -0.0, 0.1, 0.5, 0.999, 1.0, 1.5, 1e-9, 1e-300, 5e-324, 1e18, 1e30, 1.1e30, 1.7e308, -1e30,
    float("inf"), float("-inf"), float("nan"),
]  # fmt: skip
HOSTILE = [
    *NUMBERS, True, False, None, "", "x", "x" * 300, "x" * 5_000, "same", "all", "sgd", "adamw", "cnn", "conv_net",
    "backbone",
    "fully_connected", "attention_cnn", "tpe", "grid", "gp", "cma_es", "nsga2", "random", "asha", "hyperband",
    "median", "none",
    "8h", "9" * 400 + "h", "1e18", "9" * 320 + "PiB", "5YiB", "digits", "image_folder", "/dev/zero", "/", "../..",
    "a/b", "..",
    "\x00", "\x1b[2J", "\ud800", "\ue0000\ue001", "\u202e", "${HOME}", "${LONG}", "${", "${X:-${Y}}",
    "models:/x@champion",
    [], [[]], [[[1]]], {}, {"name": "cnn"}, {"x": {"y": 1}}, [1] * 300, [8] * 20, [1, "a", None], [float("nan")],
    list(range(200)),
]  # fmt: skip

PATHS = [path for section in TrialConfig.model_fields for path in field_paths(section)]
KEYS = ["name", "data", "model", "optimizer", "schedule", "training", "search", "resources", "confirm", "space",
        "stages",
        "first", "choices", "low", "high", "log", "step", "when", "<<", "", "x" * 300, "\u202e", *PATHS]  # fmt: skip

_hostile = st.sampled_from(HOSTILE).map(deepcopy)
_numbers = st.sampled_from(NUMBERS)

parameters = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(_hostile, max_size=4),
        "low": _numbers,
        "high": _numbers,
        "step": _numbers,
        "log": st.booleans(),
        "when": st.dictionaries(st.sampled_from(PATHS), _hostile | st.lists(_hostile, max_size=3), max_size=3),
    },
) | st.builds(lambda low, high: {"low": min(low, high), "high": max(low, high)}, _numbers, _numbers)
"""Parameters of a space, right and wrong."""

spaces = st.dictionaries(st.sampled_from(PATHS), parameters, min_size=1, max_size=6)


def _places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _places(value, (*path, key))


_CONTENTS: list[dict[str, Any]] = [yaml.safe_load(text) for text in TEXTS]
for _content in _CONTENTS:
    _content["data"] = {"dataset": "digits", "image_size": 64, "channels": 3}


@st.composite
def studies(draw: st.DrawFn) -> dict[str, Any]:
    """A shipped study, some of its values and keys replaced by others."""
    content = deepcopy(draw(st.sampled_from(_CONTENTS)))
    if draw(st.booleans()):
        content["space"] = draw(spaces)
    for _ in range(draw(st.integers(0, 3))):
        *holders, key = draw(st.sampled_from(list(_places(content))))
        holder = content
        for each in holders:
            holder = holder[each]
        if isinstance(holder, dict) and draw(st.booleans()):
            key = draw(st.sampled_from(KEYS))
        holder[key] = draw(_hostile | st.dictionaries(st.sampled_from(KEYS), _hostile, max_size=3))
    return content


def written(content: Any) -> str:
    """The content as YAML; JSON but for what JSON has no word for."""
    text = json.dumps(content)
    return text.replace("-Infinity", "-.inf").replace("Infinity", ".inf").replace("NaN", ".nan")


SPLICES = [
    "\t", "\r\n", "\r", "\x00", "\x1b", "\ufeff", "\u2028", "\ue000", "\ue0000\ue001", "&a ", "*a", "<<: *a",
    "!!python/object:x ",
    "!!binary ", "!!set ", "!!timestamp ", "!!int ", "!!float ", "!!omap ", "!x ", "? ", ": ", "- ", "--- ", "...",
    "%YAML 9.9\n",
    "%TAG ! x:\n", "[", "]", "{", "}", "'", '"', "|", ">", "#", "@", "`", "${", "${X}", "${X:-", "}", "9" * 4_301,
    "1e999",
    '"\\U99999999"', '"\\ud800"', '"\\x00"', "[" * 60, "a" * 1_100, "0x10", "1_000", ".inf", ".nan", "~", "yes",
]  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> str:
    """The text of a shipped study, cut, doubled and spliced."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        middle = draw(st.sampled_from(SPLICES) | st.text(max_size=6) | st.just(text[start:end] * 2))
        text = text[:start] + middle + text[end:]
    return text


overrides = st.builds(
    lambda key, value: f"{key}={value}",
    st.sampled_from([*KEYS, "search.trials", "space.model.filters.choices", "space.model.filters", "a." * 50,
    "space.x.y.when.a.b"])
    | st.text(max_size=10),
    st.sampled_from(SPLICES) | _hostile.map(written) | st.text(max_size=10),
)  # fmt: skip
"""What follows `--set`."""

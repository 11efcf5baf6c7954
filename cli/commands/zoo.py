"""`zoo`: lists what a study file can use, with options and defaults."""

import difflib
import inspect
import types
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from cli.display.output import say
from trainables.errors import InputError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from trainables.config import Config


class Category(StrEnum):
    """Categories of the zoo."""

    models = "models"
    optimizers = "optimizers"
    schedules = "schedules"
    augmentation = "augmentation"
    datasets = "datasets"
    searchers = "searchers"
    schedulers = "schedulers"
    schema = "schema"


_SECTIONS = {
    Category.models: "model",
    Category.optimizers: "optimizer",
    Category.schedules: "schedule",
    Category.augmentation: "augmentation",
}
"""Categories whose entries are variants of a section of the trial configuration."""


def zoo(
    category: Annotated[
        Category | None, typer.Argument(help="Category to list; default: all.", show_default=False)
    ] = None,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Entry of the category to show with its options.", show_default=False),
    ] = None,
) -> None:
    """List models, optimizers, schedules, augmentation, data sets, searchers and schedulers, or print the schema."""
    if category is None:
        for each in Category:
            if each is not Category.schema:
                say(f"{each}: {', '.join(_descriptions(each))}")
        say("\n`tune-cli zoo models` describes them, `tune-cli zoo models cnn` lists options and defaults")
        say("`tune-cli zoo schema` prints the JSON schema of a study file, for editors")
    elif category is Category.schema:
        _print_schema(name)
    elif name is not None:
        _show_one(category, name)
    elif category is Category.augmentation:
        _print_options(_configs(category)[""])
    else:
        _print_columns([(each, description) for each, description in _descriptions(category).items()])


def _print_schema(name: str | None) -> None:
    if name is not None:
        raise InputError(f"the schema has no part {name!r}; `tune-cli zoo schema` prints all of it")
    from search_spaces.json_schema import schema_text

    say(schema_text())


def _show_one(category: Category, name: str) -> None:
    config = _configs(category).get(name or "?")
    if config is not None:
        _print_options(config)
        if (category, name) == (Category.models, "backbone"):
            _print_architectures()
    elif category is Category.models:
        _print_stages(name)
    elif category in (Category.datasets, Category.augmentation):
        raise InputError(f"one of {category} cannot be shown alone; `tune-cli zoo {category}` shows all of them")
    else:
        raise InputError(f"no {name!r} in {category}; available: {', '.join(_descriptions(category))}")


def _print_architectures() -> None:
    from trainables.models.architectures import architectures

    say("\narchitectures (`tune-cli zoo models resnet18` lists the stages of one):")
    say(", ".join(architectures()))


def _print_stages(architecture: str) -> None:
    from trainables.models.architectures import architectures, stages

    if architecture not in architectures():
        near = difflib.get_close_matches(architecture, [*_descriptions(Category.models), *architectures()])
        raise InputError(
            f"no model or architecture {architecture!r}; "
            + (f"did you mean {' or '.join(near)}?" if near else "`tune-cli zoo models backbone` lists them all")
        )
    say(f"stages of {architecture}, from the input: `cut_at` takes a name, `freeze_depth` counts them\n")
    _print_columns(
        [("", "stage", "parameters")]
        + [(str(depth), stage.name, f"{stage.parameters:,}") for depth, stage in enumerate(stages(architecture), 1)]
    )


def _descriptions(category: Category) -> dict[str, str]:
    """One-line description by name."""
    if category is Category.datasets:
        from trainables.data.sources import DATASETS

        return {name: dataset.description for name, dataset in DATASETS.items()}
    configs = _configs(category)
    if category is Category.augmentation:
        return {name: _describe(field) for name, field in configs[""].model_fields.items()}
    return {name: inspect.getdoc(config) or "" for name, config in configs.items()}


def _configs(category: Category) -> "Mapping[str, type[Config]]":
    """Configuration classes of a category by name; a section with a single class uses the empty name."""
    from search_spaces.fields import variants
    from search_spaces.search_options import SchedulerConfig, SearcherConfig

    if category in _SECTIONS:
        return variants(_SECTIONS[category])
    if category is Category.datasets:
        return {}
    union = get_args(SearcherConfig if category is Category.searchers else SchedulerConfig)[0]
    return {config.model_fields["name"].default: config for config in get_args(union)}


def _print_options(config: "type[Config]") -> None:
    say(inspect.getdoc(config) or "")
    fields = {name: field for name, field in config.model_fields.items() if name != "name"}
    rows = [(name, _type(field.annotation), _default(field), _describe(field)) for name, field in fields.items()]
    say("" if rows else "(no options)")
    if rows:
        _print_columns([("option", "type", "default", ""), *rows])


def _print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    """Print text in columns; long cells wrap."""
    from rich.table import Table
    from rich.text import Text

    from cli.display.output import console

    table = Table.grid(padding=(0, 3, 0, 0))
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)


def _describe(field: "FieldInfo") -> str:
    return " ".join((field.description or "").split())


def _default(field: "FieldInfo") -> str:
    value = field.get_default()
    return "none" if value is None else str(list(value)) if isinstance(value, tuple) else str(value)


def _type(annotation: Any) -> str:
    """A field's type as text: `int`, `relu | gelu`, `list of int`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " | ".join("none" if part is type(None) else _type(part) for part in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    return str(getattr(annotation, "__name__", annotation))

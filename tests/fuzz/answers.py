"""What `plan` answers to a study file, in this process: everything it does but print."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search_spaces.loading import load_study
from trainables.data.sources import DATASETS, image_format
from trainables.errors import InputError
from tuning.planning.plan import make_plan
from tuning.search.grid import Grid
from tuning.search.space import Space
from tuning.search.stages import make_stage, stage_count
from tuning.search.validation import check_search


class Unread(dict[str, str]):
    """An environment in which every variable stands for itself, as in an editor."""

    def get(self, name: str, default: Any = None) -> Any:
        return f"${{{name}}}"


LONGEST_ANSWER = 60_000
"""Characters: 100 problems, each of which may list the fields of a section."""


def answer(path: Path, overrides: Sequence[str] = ()) -> str | None:
    """Message of the InputError that `plan` ends with, exit code 2; None where it succeeds, exit code 0.

    Any other exception is a finding. Networks are built on images of the size that the file asks for; no image is read.
    """
    try:
        study = load_study(path, overrides, environment={"HOME": "/home", "LONG": "x" * 1_000})
        check_search(study)
        for index in range(stage_count(study)):
            stage = make_stage(study, index).study
            wanted = image_format(stage.data)
            shape = (wanted.channels, wanted.size, wanted.size)
            made = make_plan(stage, shape, DATASETS[stage.data.dataset].classes or 10, samples=1)
            made.model_dump_json()
            space = Space(stage)
            if space.is_discrete:
                grid = Grid(space)
                assert grid[grid.size - 1].keys() <= stage.space.keys()
    except InputError as error:
        message = str(error)
        assert message
        assert len(message) <= LONGEST_ANSWER
        message.encode()  # no half characters
        return message
    return None

"""Where a study keeps what: `STORAGE/NAME/`."""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_STORAGE = Path("studies")
REGISTERED = ".registered"
"""Folder beside the studies for weights that were fetched from MLflow's registry."""

_TAKE_TRACKING_URI = {"resume", "pick", "test", "sync", "ui"}
_TAKE_ADDRESS = {"resume"}
_TAKE_NO_NAME = {"ui"}


def command_line(verb: str, *arguments: str, storage: Path = DEFAULT_STORAGE) -> str:
    """A `tune-cli` command to paste into a shell, with `--storage` unless it is the default one."""
    option = [] if storage == DEFAULT_STORAGE else ["--storage", str(storage)]
    return shlex.join(["tune-cli", verb, *arguments, *option])


@dataclass(frozen=True)
class StudyFolder:
    """Paths of one study. Nothing here touches the disk."""

    storage: Path
    """Folder of all studies."""
    name: str
    tracking_uri: str | None = field(default=None, compare=False)
    """As the user gave it, to be repeated in commands; None also where it holds a password."""
    address: str | None = field(default=None, compare=False)
    """Of the Ray cluster, as the user gave it, to be repeated in commands."""

    @property
    def path(self) -> Path:
        """The study's own folder."""
        return self.storage / self.name

    def command(self, verb: str) -> str:
        """`tune-cli VERB` for this study, to paste into a shell: with the options that it was given and VERB takes."""
        arguments = [] if verb in _TAKE_NO_NAME else [self.name]
        if self.tracking_uri is not None and verb in _TAKE_TRACKING_URI:
            arguments += ["--tracking-uri", self.tracking_uri]
        if self.address is not None and verb in _TAKE_ADDRESS:
            arguments += ["--address", self.address]
        return command_line(verb, *arguments, storage=self.storage)

    @property
    def journal(self) -> Path:
        """Every event of the study (`tuning.storage.journal`)."""
        return self.path / "journal.jsonl"

    @property
    def tracking(self) -> Path:
        """How far MLflow has been brought up to the journal (`tuning.tracking`)."""
        return self.path / "tracking.json"

    @property
    def mirror_problem(self) -> Path:
        """Why MLflow takes nothing; not there while it does (`tuning.tracking.state`)."""
        return self.path / "mirror.json"

    @property
    def log(self) -> Path:
        """What the drivers did and were told (`tuning.storage.driver_log`)."""
        return self.path / "driver.log"

    @property
    def manifest(self) -> Path:
        """Which image is in which split, with a hash."""
        return self.path / "splits.json"

    @property
    def checkpoints(self) -> Path:
        """One folder a trial."""
        return self.path / "checkpoints"

    @property
    def lock(self) -> Path:
        """Held by the driver that works on the study."""
        return self.path / "driver.lock"

    def trial_checkpoints(self, number: int) -> Path:
        """Folder of one trial's checkpoints."""
        return self.checkpoints / f"{number:05d}"

    def registered(self, model_uri: str) -> Path:
        """Folder of the weights of a registered model, `models:/NAME@champion`, by version; one for all studies."""
        return (
            self.storage.resolve() / REGISTERED / re.sub(r"[^A-Za-z0-9._-]+", "-", model_uri.removeprefix("models:/"))
        )

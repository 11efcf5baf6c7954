"""Where a study keeps what: `STORAGE/NAME/`."""

import re
from dataclasses import dataclass
from pathlib import Path

DEFAULT_STORAGE = Path("studies")
REGISTERED = ".registered"
"""Folder beside the studies for weights that were fetched from MLflow's registry."""


@dataclass(frozen=True)
class StudyFolder:
    """Paths of one study. Nothing here touches the disk."""

    storage: Path
    """Folder of all studies."""
    name: str

    @property
    def path(self) -> Path:
        """The study's own folder."""
        return self.storage / self.name

    @property
    def storage_option(self) -> str:
        """What a command needs to find the same storage: nothing for the default one."""
        return "" if self.storage == DEFAULT_STORAGE else f" --storage {self.storage}"

    @property
    def reference(self) -> str:
        """How to name the study in a command."""
        return f"{self.name}{self.storage_option}"

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

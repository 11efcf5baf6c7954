"""One connection of a study to MLflow: finds the study's runs, then writes the journal to them in batches."""

import hashlib
from itertools import islice
from typing import Self

from tuning.storage.journal import read_events
from tuning.storage.journal_lines import Position
from tuning.storage.paths import StudyFolder
from tuning.tracking.mlflow_store import FoundRun, Store, TrackingError
from tuning.tracking.preflight import ARTIFACTS, ensure_database, sqlite_file
from tuning.tracking.provenance import source_tags
from tuning.tracking.state import TrackingState, masked, read_state, write_state
from tuning.tracking.translator import PARENT, STUDY_TAG, RunUpdate, Translator, child_tags

_EVENTS_AT_ONCE = 1000


class Session:
    """Writes are idempotent; the position in the journal is saved after each batch."""

    def __init__(
        self, folder: StudyFolder, store: Store, translator: Translator, position: Position, state: TrackingState
    ) -> None:
        """`translator` has read the journal up to `position`."""
        self._folder = folder
        self._store = store
        self._translator = translator
        self._position = position
        self._state = state

    @classmethod
    def connect(cls, folder: StudyFolder, store: Store, uri: str) -> Self:
        """Find the study's runs by their tags, create the parent run if needed, and seek to the saved position.

        Raises:
            TrackingError: MLflow did not answer, or refused.
        """
        first, _ = next(read_events(folder.journal))
        ensure_database(uri)
        opening = Translator()
        study_run = opening.translate([first])[PARENT]
        experiment_id = store.experiment(opening.name, artifact_location(uri, folder))
        found = store.find_runs(experiment_id, opening.study_id)
        saved = read_state(folder)
        if saved is not None and saved.tracking_uri != masked(uri):
            saved = None
        known = {PARENT: saved.parent_run_id} | saved.runs if saved is not None else {}
        runs = _one_run_each(found, known, store)
        if PARENT not in runs:
            tags = source_tags() | {STUDY_TAG: opening.study_id}
            runs[PARENT] = store.create_run(experiment_id, study_run.name, study_run.started, tags)
        parent_run_id = runs.pop(PARENT)
        if saved is None or saved.parent_run_id != parent_run_id:
            saved = TrackingState(tracking_uri=masked(uri), experiment_id=experiment_id, parent_run_id=parent_run_id)
        translator, position = _translator_at(folder, saved)
        at = {"offset": position.offset, "chain": position.chain}
        state = saved.model_copy(update={"runs": runs, "experiment_id": experiment_id, **at})
        write_state(folder, state)
        return cls(folder, store, translator, position, state)

    def is_current(self) -> bool:
        """whether the saved state is still the one written here."""
        return read_state(self._folder) == self._state

    def catch_up(self) -> list[str]:
        """Write the journal from the saved position to its end; return what MLflow refused permanently.

        Raises:
            TrackingError: MLflow did not accept everything. Reconnect before trying again.
        """
        left_out: list[str] = []
        while piece := list(islice(read_events(self._folder.journal, self._position), _EVENTS_AT_ONCE)):
            updates = self._translator.translate(event for event, _ in piece)
            study = updates.pop(PARENT, None)
            for number, update in updates.items():
                left_out += self._write_trial(number, update)
            if study is not None:
                self._write(self._state.parent_run_id, study)
            self._position = piece[-1][1]
            self._save(offset=self._position.offset, chain=self._position.chain)
        self._write_documents()
        return left_out

    def _write_trial(self, number: int, update: RunUpdate) -> list[str]:
        run_id = self._state.runs.get(number)
        if run_id is None and not update.name:
            return [f"trial {number}: its run was deleted in MLflow"]
        if update.name:
            update.tags |= child_tags(self._state.parent_run_id)
        if run_id is None:
            run_id = self._store.create_run(self._state.experiment_id, update.name, update.started, update.tags)
            self._state.runs[number] = run_id
            update.tags.clear()
        try:
            self._write(run_id, update)
        except TrackingError as error:
            if not error.refused:
                raise
            self._store.check_active(self._state.parent_run_id)
            return [f"trial {number}: {error}"]
        return []

    def _write(self, run_id: str, update: RunUpdate) -> None:
        self._store.write(run_id, update.params, update.metrics, update.tags)
        if update.status is not None:
            self._store.set_status(run_id, update.status, update.ended)

    def _write_documents(self) -> None:
        for path, text in self._translator.documents.items():
            digest = hashlib.sha256(text.encode()).hexdigest()
            if self._state.documents.get(path) != digest:
                self._store.write_document(self._state.parent_run_id, path, text)
                self._save(documents=self._state.documents | {path: digest})

    def _save(self, **changes: object) -> None:
        self._state = self._state.model_copy(update=changes)
        write_state(self._folder, self._state)


def artifact_location(uri: str, folder: StudyFolder) -> str | None:
    """Artifact folder of a new experiment: `mlartifacts` next to a database; None if the server decides."""
    if uri.startswith(("http://", "https://", "databricks")):
        return None
    database = sqlite_file(uri)
    beside = folder.storage if database is None else database
    return (beside.resolve().parent / ARTIFACTS / folder.name).as_uri()


def _one_run_each(found: list[FoundRun], known: dict[int, str], store: Store) -> dict[int, str]:
    """Run id by trial number, `PARENT` for the study's own. A request that timed out may have created a duplicate
    run: keep the known one, else the oldest."""
    runs: dict[int, str] = {}
    for run in sorted(found, key=lambda run: run.run_id not in known.values()):
        number = PARENT if run.number is None else run.number
        if number in runs:
            store.delete_run(run.run_id)
        else:
            runs[number] = run.run_id
    return runs


def _translator_at(folder: StudyFolder, saved: TrackingState) -> tuple[Translator, Position]:
    """A translator that has read the journal up to the saved position, and that position.

    If the journal is not the one that MLflow has, for example after a repair, both start at the beginning, so that
    everything is written again.
    """
    translator, position = Translator(), Position()
    for event, end in read_events(folder.journal):
        if end.offset > saved.offset:
            break
        translator.translate([event])
        position = end
    if position.offset == saved.offset and saved.chain in ("", position.chain):
        return translator, position
    return Translator(), Position()

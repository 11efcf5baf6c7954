"""`sync`: bring MLflow up to date with a study's journal."""

from cli.display.output import say
from cli.options import Storage, StudyName, TrackingUri
from tuning.storage.paths import DEFAULT_STORAGE, StudyFolder


def sync(name: StudyName, storage: Storage = DEFAULT_STORAGE, tracking_uri: TrackingUri = None) -> None:
    """Write to MLflow what it lacks, for example because the server was down."""
    from trainables.errors import StudyFailedError
    from tuning.storage.catalog import find_study
    from tuning.tracking.state import masked, resolve_tracking_uri

    folder = find_study(storage, name)
    uri = resolve_tracking_uri(tracking_uri, storage, folder)
    problem = bring_to_mlflow(folder, uri)
    if problem is not None:
        raise StudyFailedError(problem)
    say(f"MLflow at {masked(uri)} is up to date with study {name}")


def bring_to_mlflow(folder: StudyFolder, uri: str) -> str | None:
    """Write everything to MLflow; return what went wrong, or None."""
    from tuning.tracking.mirror import Mirror
    from tuning.tracking.mlflow_store import TrackingError

    mirror = Mirror(folder, uri)
    try:
        mirror.bring_up_to_date()
    except TrackingError as error:
        return f"MLflow did not accept all of study {folder.name}: {error}"
    left_out = mirror.health().left_out
    return f"MLflow refused part of study {folder.name}: {'; '.join(left_out)}" if left_out else None

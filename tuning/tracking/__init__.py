"""MLflow mirrors the journal: parent run for the study, child run for each trial, the champion in the registry.

The journal is the truth; MLflow can be down, slow, empty or replaced, and is brought up to the journal again later.
Importing this package imports MLflow (over a second): do it inside a command.

    translation    events -> what each run should hold                     knows no MLflow
    store          runs, batches, artifacts                                 the one file that imports MLflow
    session        finds the study's runs, writes the journal to them, saves its position
    mirror         a thread that keeps at it, waits and retries
    reachable      asked once before a study starts
    registry       the champion's model
"""

from tuning.tracking.mirror import Health, Mirror
from tuning.tracking.reachable import check_reachable
from tuning.tracking.registry import log_champion, resolve_model_uri
from tuning.tracking.store import TrackingError
from tuning.tracking_state import read_run_ids, resolve_tracking_uri

__all__ = [
    "Health",
    "Mirror",
    "TrackingError",
    "check_reachable",
    "log_champion",
    "read_run_ids",
    "resolve_model_uri",
    "resolve_tracking_uri",
]

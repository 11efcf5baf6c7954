"""Mirrors the journal to MLflow: a parent run for the study, a child run per trial, the champion in the registry.

The journal is the source of truth. MLflow can be down, slow, empty or replaced; it catches up with the journal later.
Importing any of these modules but `state` and `translator` imports MLflow (over a second): do it inside a command.

    state         where MLflow is and how much of the journal it has
    translator    events -> what each run should hold
    mlflow_store  runs, batches, artifacts: the only file that imports MLflow
    session       finds the study's runs, writes the journal to them, saves its position
    mirror        a thread that follows the journal, waits and retries
    preflight     checks once, before a study starts, that MLflow answers
    registry      the champion's model
"""

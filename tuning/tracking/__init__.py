"""MLflow mirrors the journal: parent run for the study, child run for each trial, the champion in the registry.

The journal is the truth; MLflow can be down, slow, empty or replaced, and is brought up to the journal again later.
Importing any of these modules but `state` and `translator` imports MLflow (over a second): do it inside a command.

    state         where MLflow is and how far it has been brought up
    translator    events -> what each run should hold
    mlflow_store  runs, batches, artifacts: the one file that imports MLflow
    session       finds the study's runs, writes the journal to them, saves its position
    mirror        a thread that keeps at it, waits and retries
    preflight     asked once before a study starts
    registry      the champion's model
"""

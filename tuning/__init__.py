"""What runs on the driver: Ray, Optuna and MLflow are orchestrated here and nowhere else."""

import logging

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent until somebody listens, as a library should be

"""What runs on the driver: Ray, Optuna and MLflow are orchestrated here and nowhere else."""

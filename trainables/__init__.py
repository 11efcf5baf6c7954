"""Code that runs on the workers: data, model zoo, training loop. Only `trainables.trainable` imports Ray."""

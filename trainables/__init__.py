"""What runs on the workers: data, model zoo, training loop. Only `trainables.trainable` knows Ray."""

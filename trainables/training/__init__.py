"""One trial: optimizer, schedule, epochs, checkpoints."""

"""Images: found, decoded once, split, cut into batches, augmented."""

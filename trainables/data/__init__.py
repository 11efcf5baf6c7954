"""Images: finding, decoding, splitting, batching, augmenting."""

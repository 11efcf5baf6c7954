"""What a person writes: the study files, and the typed schema that reads them."""

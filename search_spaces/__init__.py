"""The study files that users write, and the typed schema that reads them."""

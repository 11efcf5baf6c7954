"""Terminal output of studies."""

"""Which trial wins, how sure that is, and what becomes of it."""

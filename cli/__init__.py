"""The terminal: parse, call `tuning`, render."""

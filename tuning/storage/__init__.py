"""What is on disk of a study: its folder, its journal, and what the journal says."""

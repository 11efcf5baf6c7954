"""Ray: trials on workers."""

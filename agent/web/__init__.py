"""HTTP routes of the daemon."""

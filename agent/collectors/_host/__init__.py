"""Parts of the `host` collector."""

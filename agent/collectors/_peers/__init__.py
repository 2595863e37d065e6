"""Parts of the `peers` collector."""

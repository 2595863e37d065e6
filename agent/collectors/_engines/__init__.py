"""Parts of the `engines` collector."""

"""One file for each cause: what speaks for it, and how much of what is missing it explains."""

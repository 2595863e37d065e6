"""The flight recorder: what diagnosis was given lately, kept small, and read again."""

"""Outgoing forms, one file per form; the file name is the key in the configuration."""

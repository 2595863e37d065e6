"""Serving engines, one table per engine: names per version, how to sum, traps."""

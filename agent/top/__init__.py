"""`rackwatt top`: the live page for a terminal."""

"""`rackwatt explain`: a recorded incident judged once more, and told to a person."""

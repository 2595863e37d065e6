"""Inside of `collectors/hwmon.py`."""

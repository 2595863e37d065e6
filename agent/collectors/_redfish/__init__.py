"""Inside of `collectors/redfish.py`."""

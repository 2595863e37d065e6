"""Inside of `collectors/dcgm_exporter.py`."""

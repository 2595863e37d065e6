"""The OTLP form: names, and metrics data made of a snapshot."""

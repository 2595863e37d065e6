"""rackwatt: the telemetry agent for GPU racks that serve language models."""

__version__ = "0.1.0"

"""The insides of the `dcgm` collector; only `agent.collectors.dcgm` imports them."""

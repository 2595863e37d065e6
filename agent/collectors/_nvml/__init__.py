"""The insides of the `nvml` collector; only `agent.collectors.nvml` imports them."""

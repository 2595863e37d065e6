"""The boards as code: `make boards` writes them to dashboards/grafana/*.json."""

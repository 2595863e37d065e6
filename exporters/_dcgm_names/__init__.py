"""What only the exporter of DCGM's names needs."""

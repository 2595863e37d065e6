"""Sources of readings, one file per source; the file name is the key in the configuration."""

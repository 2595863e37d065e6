"""Finds what there is to read, one file per how: processes, file_sd, http_sd, kubernetes."""

"""The only room that talks HTTP to a source: bounded client, text-page reader, snapshot codec."""

"""
The sinks' own process: it follows the journal's files, one thread for each sink.

The gateway starts it (L{socksgw.gateway.sinks}) and tells it what to follow. It
imports neither a reactor nor what only the gateway needs, so that it starts quickly
and stays small.
"""

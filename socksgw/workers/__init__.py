"""
Several processes that serve as one gateway: C{[gateway] workers}.

The process that was started is the supervisor (L{socksgw.workers.workforce}): it reads
the configuration, holds the listening sockets, and serves no client. Each worker
(L{socksgw.workers.process}) is a gateway as any other, whose sockets, configuration and
place in the journal come from the supervisor by a channel.
"""

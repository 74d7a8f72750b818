"""
Configurations of other servers, written as ours: C{socksgw import}.

One folder for each server: it reads a file to what that says, tells what that server
would decide, and writes what is the same here. What they share knows none of them: the
configuration that is written, with what is not the same (L{draft}), sets of addresses
(L{networks}), what is asked of the host (L{host}), and which server a file is of
(L{kinds}).
"""

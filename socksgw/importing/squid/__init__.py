"""
Files of Squid 5.

What they say (L{file}, L{acls}), what Squid would decide (L{access}), the same as rules
that go on where a condition cannot be turned round (L{unfolding}), whose logins they are
(L{logins}), where requests are sent on to (L{peers}), what is written of that
(L{writing}), and requests that show it (L{samples}).
"""

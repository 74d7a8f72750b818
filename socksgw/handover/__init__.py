"""
One process hands a running gateway over to another one: C{socksgw restart}.

The old process is asked by the new one, which it has started itself or which was
started with C{--take-over}::

    new                                 old
     │ "sockets"? ───────────────────→ │
     │ ←─────────────── listening sockets
     │ builds everything                │ serves
     │ "state"? ─────────────────────→ │ accepts nobody, writes no line
     │ ←── sessions, the journal's lock │
     │ opens the journal                │ waits
     │ "adopted" ────────────────────→ │
     │ ←────────────────────────── "go" │
     │ its reactor runs: "serving" ──→ │ lets go of everything that has moved
     │ ←───────── lines, counts, "left" │ serves the sessions that cannot move
     │ serves                           │ ends with the last of them

Up to C{serving} the old process goes on as if nothing had been, should the new one
end; from C{adopted} on the new one goes on alone, should the old one end.
"""

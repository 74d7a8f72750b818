"""
The admin interface: health, live sessions and acts over HTTP (C{[admin]}).

One table (L{socksgw.admin.paths}) has every path, with its method, the role that it
needs, and what C{/openapi.json} says of it. A subject is one file in
C{socksgw.admin.api}: it has a tuple C{ENTRIES} of L{socksgw.admin.table.Entry}, which
C{paths} joins to the table. A handler is given what was asked
(L{socksgw.admin.table.Asked}) and returns an answer, or a coroutine that does; it may
not block, and raises L{socksgw.admin.table.Refused} for what cannot be done. An act
(C{Entry.act}) is journalled by who serves it, not by the handler.
"""

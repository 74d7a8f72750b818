"""
Reach everything where the supervisor has to relay, since TLS is to the gateway.
"""

import asyncio
import errno
import socket


async def page(host: str, port: int) -> str:
    """Fetch a page by a socket that does not block."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError as e:
        return errno.errorcode[e.errno or 0]
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    text = await reader.read()
    writer.close()
    return f"{text[-12:].decode()} {writer.get_extra_info('peername')[1]}"


print("page", asyncio.run(page("page.example", 8080)))
print("slow", asyncio.run(page("slow-tls.example", 8080)))
print("refused", asyncio.run(page("slow-closed-tls.example", 81)))

with socket.create_connection(("page.example", 2525)) as greeting:
    print("greeting", greeting.recv(100).decode(), greeting.getpeername()[1])

with socket.socket() as blocking:
    print("denied", errno.errorcode[blocking.connect_ex(("denied.example", 1))])

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
    try:
        own.sendto(b"hello", ("10.5.5.1", 7007))
        own.settimeout(20)
        print("datagram", own.recv(100).decode())
    except OSError as e:
        print("datagram", errno.errorcode[e.errno or 0])

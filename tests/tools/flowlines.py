"""
Lines of the journal about the flows of associations.
"""

from __future__ import annotations

__all__ = ["flow", "flowEnd"]


def flow(session: int, host: str, port: int) -> str:
    """Return the body of a flow that is allowed."""
    return (
        f'"event":"flow","session":{session},"listener":"lan","client":"10.0.0.1:9",'
        f'"protocol":"socks5","user":"alice","method":"none","command":"udp",'
        f'"asked":"{host}","name":null,"port":{port},"verdict":"allow","rule":"dns",'
        f'"why":"","addresses":["{host}"]'
    )


def flowEnd(session: int, host: str, port: int, sent: int) -> str:
    """Return the body of its end."""
    return (
        f'"event":"flow-end","session":{session},"address":"{host}:{port}",'
        f'"sent":{sent},"sent_datagrams":1,"received":1,"received_datagrams":1,'
        '"seconds":0.100,"reason":"idle"'
    )

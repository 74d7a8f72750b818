"""
Test socksgw.

Each folder of C{socksgw/} has its tests in the folder of the same name here.
Besides them:

- C{fakes/}: what stands in memory for a part of the gateway, or for what is
  around it, in the tests of another part.
- C{live/}: gateways in processes of their own, and the clients, servers and
  programs that talk to them over real sockets.
- C{tools/}: certificates, samples of octets, and other help for any test.
- C{hostile/}, C{interop/}: a live gateway against attacks and faults, and with
  other people's programs.
- C{bench/}: measurements, started by C{make bench}.
- C{measured/}: what coverage needs in the processes that tests start.

Help that only one folder needs stands in that folder. No test imports another
test.
"""

#!/bin/sh
# What gRPC does when the usual variable or property names a SOCKS proxy.
#
# Four implementations read a proxy from their surroundings, and know HTTP's CONNECT
# only. What becomes of a SOCKS proxy differs:
#   Python (the C core) and Node.js: an error is logged, and the call goes to the
#     destination directly.
#   Go and Java: CONNECT is sent to the SOCKS proxy's port, as to an HTTP proxy. With a
#     proxy that speaks both on one port the call works; with one of SOCKS only it fails.
#     (Go 1.33.3: socks5; with socks5h it goes directly, and says nothing. Java:
#     -DsocksProxyHost.)
# Whoever asks the proxy asks it for the name. Python and Node.js read https_proxy in
# lower case only, also for calls without TLS, and no ALL_PROXY.
#
# Pinned: grpcio 1.85.3 (PyPI), @grpc/grpc-js 1.14.7 (npm), on the machine's Node.js 18 or
# newer; of Debian 12 golang-google-grpc-dev 1.33.3-2 and libgrpc-java 1.41.3+ds-1, with
# the machine's go and javac. Run on 2026-11-29 with CPython 3.11.7, Node.js 20.20.2, Go
# 1.19.8, Java 17.0.15. Exit status 1: a program does something else than the table below.
set -eu
folder=$(mktemp -d)
trap 'kill "$server" "$proxy" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check grpcio==1.85.3
npm install --silent --no-audit --no-fund --no-save --prefix . @grpc/grpc-js@1.14.7
apt-get download -q golang-google-grpc-dev=1.33.3-2 libgrpc-java=1.41.3+ds-1 \
    golang-golang-x-net-dev golang-golang-x-sys-dev golang-golang-x-text-dev \
    golang-google-genproto-dev golang-github-golang-protobuf-1-3-dev libnetty-java \
    libguava-java libperfmark-java libopencensus-java libgoogle-gson-java \
    > /dev/null 2>&1
for package in *.deb; do
    dpkg-deb -x "$package" debian
done

cat > server.py <<'PYTHON'
from concurrent import futures

import grpc


class Greeting(grpc.GenericRpcHandler):
    def service(self, call):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"hello")


server = grpc.server(futures.ThreadPoolExecutor(2))
server.add_generic_rpc_handlers((Greeting(),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
PYTHON

# Speaks HTTP and SOCKS 5 on one port, and writes down what it was asked.
cat > proxy.py <<'PYTHON'
import socket
import threading


def pump(source, sink):
    try:
        while octets := source.recv(65536):
            sink.sendall(octets)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def through(client):
    if client.recv(1, socket.MSG_PEEK) == b"\x05":
        told = "SOCKS 5"
    else:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        method, target = head.split()[:2]
        host, _, port = target.rpartition(b":")
        told = f"{method.decode()} {host.decode()}"
    with open("asked", "a") as file:
        file.write(told + "\n")
    if told == "SOCKS 5":
        client.close()
        return
    server = socket.create_connection(("127.0.0.1", int(port)))
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    threading.Thread(target=pump, args=(server, client), daemon=True).start()
    pump(client, server)


with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=through, args=(listening.accept()[0],), daemon=True).start()
PYTHON
venv/bin/python server.py > server & server=$!
python3 proxy.py > proxy & proxy=$!
until [ -s server ] && [ -s proxy ]; do sleep 0.1; done

cat > call.py <<'PYTHON'
import sys

import grpc

call = grpc.insecure_channel(sys.argv[1]).unary_unary("/Some/Method")
print(call(b"x", timeout=20).decode())
PYTHON
cat > call.mjs <<'NODE'
import grpc from '@grpc/grpc-js';
const client = new grpc.Client(process.argv[2], grpc.credentials.createInsecure());
client.makeUnaryRequest('/Some/Method', x => x, x => x, Buffer.from('x'),
  {deadline: Date.now() + 20000},
  (error, answer) => { console.log(error ?? answer.toString()); process.exit(0); });
NODE
cat > call.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
)

type raw struct{}

func (raw) Marshal(v interface{}) ([]byte, error)   { return *(v.(*[]byte)), nil }
func (raw) Unmarshal(d []byte, v interface{}) error { *(v.(*[]byte)) = d; return nil }
func (raw) Name() string                            { return "proto" }
func (raw) String() string                          { return "proto" }

func main() {
	within, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	channel, err := grpc.Dial(os.Args[1], grpc.WithInsecure())
	if err == nil {
		in, out := []byte("x"), []byte{}
		err = channel.Invoke(within, "/Some/Method", &in, &out, grpc.ForceCodec(raw{}))
		fmt.Println(string(out))
	}
	if err != nil {
		fmt.Println(err)
	}
}
GO
cat > Call.java <<'JAVA'
import io.grpc.*;
import io.grpc.stub.ClientCalls;
import java.io.*;
import java.util.concurrent.TimeUnit;

public class Call implements MethodDescriptor.Marshaller<byte[]> {
    public InputStream stream(byte[] octets) { return new ByteArrayInputStream(octets); }
    public byte[] parse(InputStream stream) {
        try { return stream.readAllBytes(); } catch (IOException e) { throw new UncheckedIOException(e); }
    }
    public static void main(String[] arguments) {
        var method = MethodDescriptor.<byte[], byte[]>newBuilder()
            .setType(MethodDescriptor.MethodType.UNARY).setFullMethodName("Some/Method")
            .setRequestMarshaller(new Call()).setResponseMarshaller(new Call()).build();
        var channel = ManagedChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
        var options = CallOptions.DEFAULT.withDeadlineAfter(20, TimeUnit.SECONDS);
        System.out.println(new String(
            ClientCalls.blockingUnaryCall(channel, method, options, "x".getBytes())));
        System.exit(0);
    }
}
JAVA
GOPATH="$folder/debian/usr/share/gocode" GO111MODULE=off go build -o call call.go
CLASSPATH=.$(find debian/usr/share/java -name '*.jar' ! -name '*-[0-9]*' -printf ':%p')
export CLASSPATH
javac Call.java

unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
# Prints a program, its setting, and by which way the call came to the server, if it did.
tried() {  # LABEL HOST COMMAND…
    label=$1 host=$2
    shift 2
    : > asked
    timeout 60 "$@" "$host:$(cat server)" > out 2>&1 || true
    went=$(sort -u asked)
    if grep -qx hello out; then came=reached; else came=failed; fi
    echo "$label: $came, ${went:-directly}"
}
{
    for scheme in http socks5 socks5h; do
        set -- env "https_proxy=$scheme://127.0.0.1:$(cat proxy)"
        # What goes directly needs a host that can be found.
        if [ $scheme = http ]; then host=site.test; else host=127.0.0.1; fi
        tried "python $scheme" $host "$@" venv/bin/python call.py
        tried "node $scheme" $host "$@" node call.mjs
        tried "go $scheme" site.test "$@" ./call
    done
    for kind in https.p socksP; do
        set -- java "-D${kind}roxyHost=127.0.0.1" "-D${kind}roxyPort=$(cat proxy)"
        tried "java ${kind}roxyHost" site.test "$@" Call
    done
} > found
cat found
cat > expected <<'TABLE'
python http: reached, CONNECT site.test
node http: reached, CONNECT site.test
go http: reached, CONNECT site.test
python socks5: reached, directly
node socks5: reached, directly
go socks5: reached, CONNECT site.test
python socks5h: reached, directly
node socks5h: reached, directly
go socks5h: failed, directly
java https.proxyHost: reached, CONNECT site.test
java socksProxyHost: reached, CONNECT site.test
TABLE
diff expected found

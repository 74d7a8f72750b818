// Reach everything by Go's own runtime, which uses no C library.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

func page(host string) string {
	to, err := net.DialTimeout("tcp", host+":8080", 20*time.Second)
	if err != nil {
		return err.Error()
	}
	defer to.Close()
	fmt.Fprintf(to, "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", host)
	text, err := io.ReadAll(to)
	if err != nil {
		return err.Error()
	}
	return string(text[len(text)-len("the far page"):])
}

// What is not decided within 250 ms fails as refused, whatever the reason: ask again.
func failure(place string) error {
	for i := 0; ; i++ {
		began := time.Now()
		_, err := net.Dial("tcp", place)
		quick := time.Since(began) < 200*time.Millisecond
		if quick || i == 50 || !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
	}
}

func echo(to net.Conn) string {
	to.SetDeadline(time.Now().Add(20 * time.Second))
	to.Write([]byte("hello"))
	octets := make([]byte, 100)
	count, err := to.Read(octets)
	if err != nil {
		return err.Error()
	}
	return string(octets[:count])
}

// What would go past the gateway.
func past() {
	err := failure("10.9.9.1:8081")
	fmt.Println("direct", errors.Is(err, syscall.EACCES))
	resolver := net.Resolver{
		PreferGo: true,
		Dial: func(all context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(all, network, "10.9.9.1:53")
		},
	}
	found, err := resolver.LookupHost(context.Background(), "page.example")
	fmt.Println("dns", found, err)
	to, _ := net.Dial("udp", "10.9.9.1:5353")
	to.Write([]byte("hello"))
	to.SetDeadline(time.Now().Add(500 * time.Millisecond))
	_, err = to.Read(make([]byte, 100))
	fmt.Println("datagram", errors.Is(err, os.ErrDeadlineExceeded))
}

func main() {
	if len(os.Args) > 1 {
		past()
		return
	}
	var group sync.WaitGroup
	pages := make([]string, 100)
	for i := range pages {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			pages[i] = page("page.example")
		}(i)
	}
	group.Wait()
	for _, each := range pages {
		if each != "the far page" {
			fmt.Println(each)
		}
	}
	fmt.Println("page", pages[0])
	fmt.Println("slow", page("slow-go.example"))
	err := failure("10.5.5.1:81")
	fmt.Println("refused", errors.Is(err, syscall.ECONNREFUSED))
	err = failure("denied.example:8080")
	fmt.Println("denied", errors.Is(err, syscall.EACCES))
	err = failure("unknown.example:8080")
	fmt.Println("unknown", errors.Is(err, syscall.EHOSTUNREACH))
	greeting, err := net.Dial("tcp", "[fd00:5::1]:2525")
	octets := make([]byte, 100)
	count, _ := greeting.Read(octets)
	fmt.Println("greeting", string(octets[:count]), greeting.RemoteAddr())
	connected, _ := net.Dial("udp", "page.example:7007")
	fmt.Println("connected", echo(connected))
	free, _ := net.ListenPacket("udp4", ":0")
	free.SetDeadline(time.Now().Add(20 * time.Second))
	free.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.ParseIP("10.5.5.1"), Port: 7007})
	count, from, err := free.ReadFrom(octets)
	fmt.Println("free", string(octets[:count]), from)
}

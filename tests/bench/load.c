/* Load for SOCKS gateways and HTTP proxies on loopback; prints one line of JSON.
 *
 *   load target PORT                              sink, source and echo server
 *   load rate  PROXY TARGET CONC SECONDS MODE     new sessions per second; 64-octet echo on each
 *   load pace  PROXY TARGET RATE SECONDS MODE     RATE new sessions each second; the same echo
 *   load down  PROXY TARGET STREAMS BYTES MODE    download of BYTES per stream
 *   load up    PROXY TARGET STREAMS BYTES MODE    upload of BYTES per stream
 *                                                 (both with SECONDS behind MODE: what moves in
 *                                                 so long, once all have begun)
 *   load storm PROXY TARGET COUNT MODE            COUNT new sessions at once; the same echo on each
 *   load rtt   PROXY TARGET STREAMS SECONDS MODE  64-octet ping-pong on open sessions
 *   load idle  PROXY TARGET COUNT MODE            opens COUNT sessions, prints, holds them until
 *                                                 stdin closes
 *   load udp   PROXY TARGET ASSOCS SECONDS MODE   UDP ASSOCIATE; 100-octet echoes, 16 in flight on
 *                                                 each, or FLIGHT behind MODE; to 127.0.0.1, or to
 *                                                 as many addresses in turn as DESTINATIONS behind
 *                                                 that says, up to 8
 *
 * MODE: direct, socks4, socks6 (without options), noauth, user:password (a # in it is the client's number), http, http+user:password (CONNECT with Basic, sent
 * at once), or http* (CONNECT, each in other octets than the one before). PORTs are on 127.0.0.1. The first octet to the target: 'E' echo, 'S' and 8 octets
 * of count source, 'D' discard and answer the count at the end.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}
static void die(const char *m) {
    perror(m);
    exit(1);
}
static char big[1 << 18];
static int ep;
static void add(int fd, uint32_t ev, void *p) {
    struct epoll_event e = {.events = ev, .data.ptr = p};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e)) die("epoll add");
}
static void mod(int fd, uint32_t ev, void *p) {
    struct epoll_event e = {.events = ev, .data.ptr = p};
    epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
}

/* ---------- target ---------- */
struct tc {
    int fd;
    char kind;
    int hdr;
    unsigned char h[8];
    uint64_t left, count;
    char buf[65536];
    size_t off, len;
};
/* Addresses from 127.0.0.1 on where datagrams are echoed. */
enum { DESTINATIONS = 8 };
static int target(int port) {
    int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(s, (void *)&a, sizeof a) || listen(s, 4096)) die("listen");
    static struct tc utc[DESTINATIONS];
    for (int i = 0; i < DESTINATIONS; i++) {
        int u = utc[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), rb = 8 << 20;
        setsockopt(u, SOL_SOCKET, SO_RCVBUFFORCE, &rb, sizeof rb);
        struct sockaddr_in d = a;
        d.sin_addr.s_addr = htonl(INADDR_LOOPBACK + i);
        if (bind(u, (void *)&d, sizeof d)) die("udp bind");
        add(u, EPOLLIN, utc + i);
    }
    add(s, EPOLLIN, NULL);
    struct epoll_event ev[256];
    for (;;) {
        int n = epoll_wait(ep, ev, 256, -1);
        for (int i = 0; i < n; i++) {
            struct tc *c = ev[i].data.ptr;
            if (!c) {
                int f;
                while ((f = accept4(s, 0, 0, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(f, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    c = calloc(1, sizeof *c);
                    if (!c) die("oom");
                    c->fd = f;
                    add(f, EPOLLIN, c);
                }
                continue;
            }
            int dead = 0;
            if (c >= utc && c < utc + DESTINATIONS) {
                struct sockaddr_in f;
                for (int k = 0; k < 64; k++) {
                    socklen_t l = sizeof f;
                    ssize_t r = recvfrom(c->fd, big, 2048, 0, (void *)&f, &l);
                    if (r < 0) break;
                    sendto(c->fd, big, r, 0, (void *)&f, l);
                }
                continue;
            }
            if (!c->kind) {
                ssize_t r = read(c->fd, &c->kind, 1);
                if (r <= 0) {
                    if (r < 0 && errno == EAGAIN) continue;
                    dead = 1;
                    goto fin;
                }
            }
            if (c->kind == 'S') {
                while (c->hdr < 8) {
                    ssize_t r = read(c->fd, c->h + c->hdr, 8 - c->hdr);
                    if (r <= 0) {
                        if (r < 0 && errno == EAGAIN) goto fin;
                        dead = 1;
                        goto fin;
                    }
                    c->hdr += r;
                    if (c->hdr == 8) {
                        c->left = 0;
                        for (int k = 0; k < 8; k++)
                            c->left = c->left << 8 | c->h[k];
                        mod(c->fd, EPOLLOUT, c);
                    }
                }
                for (int k = 0; k < 8 && c->left; k++) {
                    size_t w = c->left < sizeof big ? c->left : sizeof big;
                    ssize_t r = write(c->fd, big, w);
                    if (r < 0) {
                        if (errno == EAGAIN) goto fin;
                        dead = 1;
                        goto fin;
                    }
                    c->left -= r;
                }
                if (!c->left) dead = 1;
            } else if (c->kind == 'D') {
                for (int k = 0; k < 8; k++) {
                    ssize_t r = read(c->fd, big, sizeof big);
                    if (r < 0) {
                        if (errno == EAGAIN) goto fin;
                        dead = 1;
                        goto fin;
                    }
                    if (r == 0) {
                        unsigned char o[8];
                        uint64_t v = c->count;
                        for (int q = 7; q >= 0; q--) {
                            o[q] = v;
                            v >>= 8;
                        }
                        if (write(c->fd, o, 8)) {
                        }
                        dead = 1;
                        goto fin;
                    }
                    c->count += r;
                }
            } else {
                if (c->off < c->len) {
                    ssize_t r = write(c->fd, c->buf + c->off, c->len - c->off);
                    if (r < 0) {
                        if (errno == EAGAIN) goto fin;
                        dead = 1;
                        goto fin;
                    }
                    c->off += r;
                    if (c->off < c->len) goto fin;
                    mod(c->fd, EPOLLIN, c);
                }
                for (int k = 0; k < 4; k++) {
                    ssize_t r = read(c->fd, c->buf, sizeof c->buf);
                    if (r < 0) {
                        if (errno == EAGAIN) goto fin;
                        dead = 1;
                        goto fin;
                    }
                    if (r == 0) {
                        dead = 1;
                        goto fin;
                    }
                    c->len = r;
                    c->off = 0;
                    ssize_t w = write(c->fd, c->buf, r);
                    if (w < 0) w = errno == EAGAIN ? 0 : -1;
                    if (w < 0) {
                        dead = 1;
                        goto fin;
                    }
                    c->off = w;
                    if ((size_t)w < c->len) {
                        mod(c->fd, EPOLLOUT, c);
                        goto fin;
                    }
                }
            }
        fin:
            if (dead) {
                close(c->fd);
                free(c);
            }
        }
    }
}

/* ---------- client ---------- */
enum { CONNECTING, GREET, AUTH, REQ, RUN, DONE };
struct cc {
    int fd, st, id;
    size_t got;
    double t0;
    uint64_t left;
    unsigned char in[512];
};
static int proxy_port, target_port;
static const char *mode;
static int src = 0;
static int http(void) { return !strncmp(mode, "http", 4) && strchr("+*", mode[4]); }
static int auth(void) { return !http() && strchr(mode, ':') != NULL; }
static int direct(void) { return !strcmp(mode, "direct"); }
static int socks4(void) { return !strcmp(mode, "socks4"); }
static int socks6(void) { return !strcmp(mode, "socks6"); }
static void put(struct cc *c, const void *b, size_t n) {
    ssize_t r = write(c->fd, b, n);
    if (r != (ssize_t)n) {
        if (r < 0 && (errno == EPIPE || errno == ECONNRESET)) return;
        die("short handshake write");
    }
}
static void start(struct cc *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, IPPROTO_IP, 24 /*IP_BIND_ADDRESS_NO_PORT*/, &one, sizeof one);
    struct sockaddr_in l = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(0x7f000100 + (src++ % 200) + 1)};
    bind(c->fd, (void *)&l, sizeof l);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(direct() ? target_port : proxy_port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->t0 = now();
    c->st = CONNECTING;
    c->got = 0;
    if (connect(c->fd, (void *)&a, sizeof a) && errno != EINPROGRESS) die("connect");
    add(c->fd, EPOLLOUT, c);
}
/* The head of a CONNECT, with the login (RFC 7617) where there is one. */
static char head[512];
static size_t nhead;
static void make_head(void) {
    static const char six[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static unsigned made;
    char login[300] = "";
    if (mode[4] == '*') sprintf(login, "User-Agent: load/%u\r\n", made++);
    if (mode[4] == '+') {
        const unsigned char *p = (const unsigned char *)mode + 5;
        char *o = login + sprintf(login, "Proxy-Authorization: Basic ");
        for (size_t n = strlen((const char *)p); n; p += 3, n -= n < 3 ? n : 3) {
            unsigned v = p[0] << 16 | (n > 1 ? p[1] << 8 : 0) | (n > 2 ? p[2] : 0);
            *o++ = six[v >> 18];
            *o++ = six[v >> 12 & 63];
            *o++ = n > 1 ? six[v >> 6 & 63] : '=';
            *o++ = n > 2 ? six[v & 63] : '=';
        }
        strcpy(o, "\r\n");
    }
    nhead = snprintf(head, sizeof head,
                     "CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s\r\n", target_port,
                     target_port, login);
}
static void send_req(struct cc *c) {
    unsigned char q[10] = {5, 1, 0, 1, 127, 0, 0, 1, target_port >> 8, target_port & 255};
    put(c, q, 10);
    c->st = REQ;
    c->got = 0;
}
/* returns 1 when the session is open, 0 when more is needed, -1 on failure */
static int shake(struct cc *c, uint32_t ev) {
    if (c->st == CONNECTING) {
        int e = 0;
        socklen_t l = sizeof e;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &l);
        if (e) return -1;
        mod(c->fd, EPOLLIN, c);
        if (direct()) return 1;
        if (http()) {
            if (!nhead || mode[4] == '*') make_head();
            put(c, head, nhead);
            c->st = REQ;
            return 0;
        }
        if (socks4()) {
            unsigned char q[9] = {4, 1, target_port >> 8, target_port & 255, 127, 0, 0, 1, 0};
            put(c, q, 9);
            c->st = REQ;
            return 0;
        }
        if (socks6()) {
            unsigned char q[12] = {6, 1, 0, 0, target_port >> 8, target_port & 255, 0, 1, 127, 0, 0, 1};
            put(c, q, 12);
            c->st = REQ;
            return 0;
        }
        unsigned char g[3] = {5, 1, auth() ? 2 : 0};
        put(c, g, 3);
        c->st = GREET;
        return 0;
    }
    if (http()) {
        /* The target says nothing unasked: all that comes is the head. */
        ssize_t r = read(c->fd, c->in + c->got, sizeof c->in - 1 - c->got);
        if (r <= 0) return (r < 0 && errno == EAGAIN) ? 0 : -1;
        c->got += r;
        c->in[c->got] = 0;
        if (!strstr((char *)c->in, "\r\n\r\n")) return 0;
        if (strncmp((char *)c->in, "HTTP/1.", 7) || strncmp((char *)c->in + 8, " 2", 2)) return -1;
        c->st = RUN;
        return 1;
    }
    size_t want = c->st == REQ ? (socks4() ? 8 : socks6() ? 16 : 10) : 2;
    ssize_t r = read(c->fd, c->in + c->got, want - c->got);
    if (r <= 0) return (r < 0 && errno == EAGAIN) ? 0 : -1;
    c->got += r;
    if (c->got < want) return 0;
    if (c->st == GREET) {
        if (c->in[0] != 5 || c->in[1] == 0xff) return -1;
        if (auth()) {
            char login[300];
            const char *mark = strchr(mode, '#');
            if (mark)
                snprintf(login, sizeof login, "%.*s%d%s", (int)(mark - mode), mode, c->id, mark + 1);
            else
                snprintf(login, sizeof login, "%s", mode);
            const char *p = strchr(login, ':');
            size_t ul = p - login, pl = strlen(p + 1);
            unsigned char b[520];
            b[0] = 1;
            b[1] = ul;
            memcpy(b + 2, login, ul);
            b[2 + ul] = pl;
            memcpy(b + 3 + ul, p + 1, pl);
            put(c, b, 3 + ul + pl);
            c->st = AUTH;
            c->got = 0;
            return 0;
        }
        send_req(c);
        return 0;
    }
    if (c->st == AUTH) {
        if (c->in[1]) return -1;
        send_req(c);
        return 0;
    }
    if (socks6()) {
        /* The authentication reply and the operation reply, both without options. */
        static const unsigned char let_in[8] = {6, 0, 0, 0, 6, 0, 0, 0};
        if (memcmp(c->in, let_in, 8) || c->in[11] != 1) return -1;
    } else if (socks4() ? c->in[1] != 90 : c->in[1] != 0)
        return -1;
    c->st = RUN;
    return 1;
}
static int cmpd(const void *a, const void *b) {
    double x = *(double *)a, y = *(double *)b;
    return x < y ? -1 : x > y;
}
static double *lat;
static size_t nlat, clat;
static void note(double d) {
    if (nlat == clat) {
        clat = clat ? clat * 2 : 1 << 16;
        lat = realloc(lat, clat * sizeof *lat);
    }
    lat[nlat++] = d;
}
static double pct(double p) {
    if (!nlat) return 0;
    size_t i = nlat * p;
    return lat[i >= nlat ? nlat - 1 : i] * 1e3;
}

/* An association: its control connection and its socket, and what is in flight. */
struct ua {
    int t, u;
    int out, next;
};
static void datagram(struct ua *a, int destinations) {
    unsigned char d[110] = {0, 0, 0, 1, 127, 0, 0, 1 + a->next, target_port >> 8, target_port & 255};
    double s = now();
    memcpy(d + 10, &s, 8);
    if (send(a->u, d, sizeof d, 0) < 0) return;
    a->next = (a->next + 1) % destinations;
    a->out++;
}
static int udp(int n, double secs, int flight, int destinations) {
    if (flight < 1 || destinations < 1 || destinations > DESTINATIONS) {
        fprintf(stderr, "FLIGHT from 1, DESTINATIONS from 1 to %d\n", DESTINATIONS);
        return 2;
    }
    struct ua *as = calloc(n, sizeof *as);
    for (int i = 0; i < n; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_port = htons(proxy_port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int t = as[i].t = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(t, (void *)&a, sizeof a)) die("connect");
        unsigned char b[600];
        struct timeval tv = {5, 0};
        setsockopt(t, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
        unsigned char g[3] = {5, 1, auth() ? 2 : 0};
        if (write(t, g, 3) != 3 || recv(t, b, 2, MSG_WAITALL) != 2 || b[1] == 0xff)
            die("greet");
        if (auth()) {
            const char *p = strchr(mode, ':');
            size_t ul = p - mode, pl = strlen(p + 1);
            b[0] = 1;
            b[1] = ul;
            memcpy(b + 2, mode, ul);
            b[2 + ul] = pl;
            memcpy(b + 3 + ul, p + 1, pl);
            if (write(t, b, 3 + ul + pl) < 0 || recv(t, b, 2, MSG_WAITALL) != 2 || b[1])
                die("auth");
        }
        unsigned char q[10] = {5, 3, 0, 1, 0, 0, 0, 0, 0, 0};
        if (write(t, q, 10) != 10 || recv(t, b, 10, MSG_WAITALL) != 10 || b[1])
            die("associate");
        struct sockaddr_in r = {.sin_family = AF_INET};
        memcpy(&r.sin_addr, b + 4, 4);
        memcpy(&r.sin_port, b + 8, 2);
        if (!r.sin_addr.s_addr) r.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int u = as[i].u = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        struct sockaddr_in l = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        bind(u, (void *)&l, sizeof l);
        if (connect(u, (void *)&r, sizeof r)) die("udp connect");
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = as + i};
        epoll_ctl(ep, EPOLL_CTL_ADD, u, &e);
    }
    uint64_t done = 0, lost = 0;
    double t0 = now(), last = t0;
    struct epoll_event ev[64];
    for (int i = 0; i < n; i++) datagram(as + i, destinations);
    while (now() - t0 < secs) {
        int k = epoll_wait(ep, ev, 64, 50);
        if (now() - last > .25) {
            for (int i = 0; i < n; i++) {
                lost += as[i].out;
                as[i].out = 0;
                datagram(as + i, destinations);
            }
            last = now();
        }
        for (int i = 0; i < k; i++) {
            struct ua *a = ev[i].data.ptr;
            char b[2048];
            ssize_t r;
            while ((r = recv(a->u, b, sizeof b, 0)) >= 110) {
                done++;
                if (a->out > 0) a->out--;
                double s;
                memcpy(&s, b + 10, 8);
                note(now() - s);
            }
            last = now();
            while (a->out < flight) {
                int before = a->out;
                datagram(a, destinations);
                if (a->out == before) break;
            }
        }
    }
    double el = now() - t0;
    qsort(lat, nlat, sizeof *lat, cmpd);
    printf("{\"done\":%lu,\"lost\":%lu,\"failed\":0,\"seconds\":%.3f,\"per_s\":%."
           "1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n",
           done, lost, el, done / el, pct(.5), pct(.99));
    return 0;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    struct rlimit rl = {1 << 20, 1 << 20};
    if (setrlimit(RLIMIT_NOFILE, &rl)) {
        getrlimit(RLIMIT_NOFILE, &rl);
        rl.rlim_cur = rl.rlim_max;
        setrlimit(RLIMIT_NOFILE, &rl);
    }
    ep = epoll_create1(0);
    memset(big, 'x', sizeof big);
    if (argc >= 3 && !strcmp(argv[1], "target")) return target(atoi(argv[2]));
    if (argc < 6) return fprintf(stderr, "usage: see the head of sockload.c\n"), 2;
    const char *what = argv[1];
    proxy_port = atoi(argv[2]);
    target_port = atoi(argv[3]);
    int conc = atoi(argv[4]);
    int isidle = !strcmp(what, "idle"), storm = !strcmp(what, "storm");
    /* A storm has a minute. */
    uint64_t arg = isidle ? 0 : storm ? 60 : strtoull(argv[5], 0, 10);
    mode = isidle || storm ? argv[5] : argv[6];
    if (!strcmp(what, "udp")) 
        return udp(conc, (double)arg, argc > 7 ? atoi(argv[7]) : 16, argc > 8 ? atoi(argv[8]) : 1);
    int pace = !strcmp(what, "pace"), once = pace || storm,
        rate = once || !strcmp(what, "rate"),
        down = !strcmp(what, "down"), up = !strcmp(what, "up"), rtt = !strcmp(what, "rtt");
    int total = pace ? conc * (int)arg : conc;
    struct cc *cs = calloc(total, sizeof *cs);
    double t0 = now(), end = t0 + (rate || rtt ? (double)arg + pace : 1e9);
    uint64_t done = 0, failed = 0, bytes = 0;
    /* Bytes that count from when on, and for how long. */
    double flow = (down || up) && argc > 7 ? atof(argv[7]) : 0, counted = 0;
    uint64_t before = 0;
    int open = 0, live = 0;
    unsigned char ping[65];
    memset(ping, 'p', 65);
    ping[0] = 'E';
    struct epoll_event ev[512];
    int started = 0, inflight = 0;
    int batch = isidle ? 64 : pace ? 0 : conc;
    while (started < conc && inflight < batch) {
        cs[started].id = started;
        start(&cs[started++]);
        inflight++;
        live++;
    }
    double tb = 0;
    for (;;) {
        double t = now();
        if ((rate || rtt) && t >= end) break;
        if (!live && !(pace && started < total)) break;
        if (flow && !counted && open == conc) {
            counted = t;
            before = bytes;
        }
        if (counted && t >= counted + flow) break;
        while (pace && started < total && now() >= t0 + started / (double)conc) {
            cs[started].id = started;
            start(&cs[started++]);
            inflight++;
            live++;
        }
        if (isidle && t - t0 > 30) {
            printf("{\"open\":%d,\"failed\":%lu,\"stuck\":%d}\n", open, failed, conc - open);
            fflush(stdout);
            char x;
            while (read(0, &x, 1) > 0)
                ;
            return 1;
        }
        int n = epoll_wait(ep, ev, 512, pace ? 1 : 100);
        for (int i = 0; i < n; i++) {
            struct cc *c = ev[i].data.ptr;
            int fresh = 0;
            if (c->st == DONE) continue;
            if (c->st < RUN) {
                int k = shake(c, ev[i].events);
                if (k < 0) {
                    failed++;
                    close(c->fd);
                    inflight--;
                    if (rate && !once && failed < 2000000)
                        start(c), inflight++;
                    else {
                        c->st = DONE;
                        live--;
                    }
                    if (isidle && open + (int)failed >= conc) goto held;
                    if (isidle && started < conc) {
                        cs[started].id = started;
                        start(&cs[started++]);
                        inflight++;
                        live++;
                    }
                    continue;
                }
                if (!k) continue;
                c->st = RUN;
                fresh = 1;
                inflight--;
                open++;
                if (!tb) tb = now();
                if (isidle) {
                    note(now() - c->t0);
                    mod(c->fd, EPOLLRDHUP, c);
                    if (started < conc) {
                        cs[started].id = started;
                        start(&cs[started++]);
                        inflight++;
                        live++;
                    }
                    if (open + (int)failed >= conc) {
                    held:
                        qsort(lat, nlat, sizeof *lat, cmpd);
                        printf("{\"open\":%d,\"failed\":%lu,\"seconds\":%.3f,\"p50_ms\":%.3f,"
                               "\"p99_ms\":%.3f}\n",
                               open, failed, now() - t0, pct(.5), pct(.99));
                        fflush(stdout);
                        char x;
                        while (read(0, &x, 1) > 0)
                            ;
                        return 0;
                    }
                    continue;
                }
                c->got = 0;
                if (rate || rtt) {
                    if (rtt) c->t0 = now();
                    put(c, ping, 65); /* server echoes 64 bytes */
                } else if (down) {
                    unsigned char q[9] = {'S'};
                    for (int k2 = 0; k2 < 8; k2++)
                        q[1 + k2] = arg >> (56 - 8 * k2);
                    put(c, q, 9);
                    c->left = arg;
                } else if (up) {
                    put(c, "D", 1);
                    c->left = arg;
                    mod(c->fd, EPOLLOUT, c);
                }
                continue;
            }
            if (rate || rtt) {
                ssize_t r = read(c->fd, c->in, 64 - c->got);
                if (r <= 0) {
                    if (r < 0 && errno == EAGAIN) continue;
                    failed++;
                    close(c->fd);
                    if (rate && !once)
                        start(c), inflight++;
                    else {
                        c->st = DONE;
                        live--;
                    }
                    continue;
                }
                c->got += r;
                if (c->got < 64) continue;
                note(now() - c->t0);
                done++;
                if (once) {
                    close(c->fd);
                    c->st = DONE;
                    live--;
                } else if (rate) {
                    close(c->fd);
                    start(c);
                    inflight++;
                } else {
                    c->got = 0;
                    c->t0 = now();
                    put(c, ping + 1, 64);
                }
            } else if (down) {
                for (int k = 0; k < 8; k++) {
                    ssize_t r = read(c->fd, big, sizeof big);
                    if (r < 0) {
                        if (errno == EAGAIN) break;
                        failed++;
                        close(c->fd);
                        c->st = DONE;
                        live--;
                        break;
                    }
                    bytes += r;
                    if (r == 0 || (c->left -= r) == 0) {
                        if (c->left)
                            failed++;
                        else
                            done++;
                        close(c->fd);
                        c->st = DONE;
                        live--;
                        break;
                    }
                }
            } else if (up) {
                if (c->left) {
                    for (int k = 0; k < 8 && c->left; k++) {
                        size_t w = c->left < sizeof big ? c->left : sizeof big;
                        ssize_t r = write(c->fd, big, w);
                        if (r < 0) {
                            if (errno == EAGAIN) break;
                            failed++;
                            close(c->fd);
                            c->st = DONE;
                            live--;
                            break;
                        }
                        c->left -= r;
                        bytes += r;
                    }
                    if (c->st == RUN && !c->left) {
                        shutdown(c->fd, SHUT_WR);
                        mod(c->fd, EPOLLIN, c);
                    }
                } else {
                    ssize_t r = read(c->fd, c->in + c->got, 8 - c->got);
                    if (r < 0 && errno == EAGAIN) continue;
                    if (r > 0) c->got += r;
                    if (r <= 0 || c->got == 8) {
                        uint64_t v = 0;
                        for (int q = 0; q < 8; q++)
                            v = v << 8 | c->in[q];
                        if (c->got == 8 && v == arg)
                            done++;
                        else
                            failed++;
                        close(c->fd);
                        c->st = DONE;
                        live--;
                    }
                }
            }
            (void)fresh;
        }
    }
    double el = now() - (counted ? counted : down || up ? tb : t0);
    qsort(lat, nlat, sizeof *lat, cmpd);
    printf("{\"done\":%lu,\"failed\":%lu,\"seconds\":%.3f,\"per_s\":%.1f,\"gbit_s\":%.3f,\"p50_"
           "ms\":%.3f,\"p99_ms\":%.3f,\"bytes\":%lu}\n",
           done, failed, el, done / el, (bytes - before) * 8 / el / 1e9, pct(.5), pct(.99), bytes);
    return 0;
}

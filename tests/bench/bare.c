/* The least that passes octets on between a client and a destination: what the kernel's part of
 * a gateway costs, whatever it is written in.
 *
 *   bare PORT      SOCKS 5 on 127.0.0.1, without login, CONNECT to an IPv4 address
 *
 * No policy, no record, no limit, no deadline, and no octets kept: whoever does not read is cut
 * off. One process, and no system call that could be spared: one registration for each socket,
 * by edge, and one read and one write for each message. The end of each direction is passed on.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum state { GREETING, REQUEST, RELAY };
struct side {
    int fd, ended;
    enum state state;
    struct side *other;
};
static int ep;
static char octets[1 << 16];

static void watch(int fd, uint32_t events, struct side *side) {
    struct epoll_event event = {.events = events, .data.ptr = side};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event)) {
        perror("epoll_ctl");
        exit(1);
    }
}

static struct side *sideOf(int fd) {
    struct side *side = calloc(1, sizeof *side);
    int on = 1;
    side->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(fd, EPOLLIN | EPOLLRDHUP | EPOLLET, side);
    return side;
}

/* Those of the events at hand may still name it: it is freed behind them. */
static struct side *gone[1024];
static int many;
static void end(struct side *side) {
    for (struct side *each = side; each; each = each == side ? side->other : NULL) {
        close(each->fd);
        each->fd = -1;
        gone[many++] = each;
    }
}

static int connected(struct side *client) {
    struct sockaddr_in to = {.sin_family = AF_INET}, from;
    socklen_t size = sizeof from;
    char reply[10] = {5, 0, 0, 1};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) return 0;
    memcpy(&to.sin_addr, octets + 4, 4);
    memcpy(&to.sin_port, octets + 8, 2);
    /* On loopback it is connected at once, which is not told before the first event. */
    connect(fd, (void *)&to, sizeof to);
    client->other = sideOf(fd);
    client->other->other = client;
    client->state = client->other->state = RELAY;
    getsockname(fd, (void *)&from, &size);
    memcpy(reply + 4, &from.sin_addr, 4);
    memcpy(reply + 8, &from.sin_port, 2);
    return send(client->fd, reply, sizeof reply, MSG_NOSIGNAL) == sizeof reply;
}

/* Returns whether the side goes on. */
static int ready(struct side *side) {
    ssize_t came = recv(side->fd, octets, sizeof octets, MSG_DONTWAIT);
    if (side->state == GREETING) {
        side->state = REQUEST;
        return came > 0 && send(side->fd, "\5", 2, MSG_NOSIGNAL) == 2;
    }
    if (side->state == REQUEST) return came == 10 && connected(side);
    if (came > 0) return send(side->other->fd, octets, came, MSG_NOSIGNAL) == came;
    if (came < 0 && errno == EAGAIN) return 1;
    side->ended = 1;
    if (came < 0 || side->other->ended) return 0;
    return !shutdown(side->other->fd, SHUT_WR);
}

int main(int argc, char **argv) {
    struct sockaddr_in here = {.sin_family = AF_INET,
                               .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listening, (void *)&here, sizeof here) || listen(listening, 4096)) {
        perror("listen");
        return 1;
    }
    ep = epoll_create1(0);
    watch(listening, EPOLLIN, NULL);
    for (;;) {
        struct epoll_event events[512];
        int count = epoll_wait(ep, events, 512, -1);
        for (int i = 0; i < count; i++) {
            struct side *side = events[i].data.ptr;
            if (!side) {
                int fd;
                while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0)
                    sideOf(fd);
            } else if (side->fd >= 0 && !ready(side))
                end(side);
        }
        while (many)
            free(gone[--many]);
    }
}

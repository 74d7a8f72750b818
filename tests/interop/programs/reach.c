/* Reach everything by musl: its look-ups of names, TCP and UDP. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int opened(const char *host, const char *port, int kind)
{
    struct addrinfo hints = {.ai_socktype = kind}, *found, *each;
    int own = -1;
    if (getaddrinfo(host, port, &hints, &found)) {
        puts("no such name");
        return -1;
    }
    for (each = found; each; each = each->ai_next) {
        own = socket(each->ai_family, each->ai_socktype, each->ai_protocol);
        if (!connect(own, each->ai_addr, each->ai_addrlen))
            break;
        printf("%s: %s\n", host, strerror(errno));
        close(own);
        own = -1;
    }
    freeaddrinfo(found);
    return own;
}

int main(void)
{
    static const char asked[] = "GET / HTTP/1.0\r\n\r\n";
    char octets[1000], text[INET_ADDRSTRLEN];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7007)};
    socklen_t length = sizeof to;
    ssize_t count, all = 0;
    int own = opened("page.example", "8080", SOCK_STREAM);
    write(own, asked, sizeof asked - 1);
    while ((count = read(own, octets + all, sizeof octets - 1 - all)) > 0)
        all += count;
    octets[all] = 0;
    printf("page %s\n", all > 12 ? octets + all - 12 : "none");
    opened("denied.example", "8080", SOCK_STREAM);
    own = opened("page.example", "7007", SOCK_DGRAM);
    write(own, "hello", 5);
    count = read(own, octets, sizeof octets);
    printf("connected %.*s\n", (int)count, octets);
    own = socket(AF_INET, SOCK_DGRAM, 0);
    inet_pton(AF_INET, "10.5.5.1", &to.sin_addr);
    sendto(own, "hello", 5, 0, (struct sockaddr *)&to, sizeof to);
    count = recvfrom(own, octets, sizeof octets, 0, (struct sockaddr *)&to, &length);
    inet_ntop(AF_INET, &to.sin_addr, text, sizeof text);
    printf("free %.*s %s %d\n", (int)count, octets, text, ntohs(to.sin_port));
    return 0;
}

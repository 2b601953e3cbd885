/* server.c - the socket: listening, one client, its packets in and out. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ui/gdb/stub.h"

#define LOOPBACK "127.0.0.1"
#define SEND_MS  10000          /* a client that does not read for so long is gone */

struct server {
	struct gdb *g;
	int fd;                         /* of the client */
	bool gone;                      /* it closed the connection */
	bool stop;                      /* it wants the run to stop */
	struct gdb_parser parser;
	struct gdb_reply reply;
	char frame[GDB_FRAME_MAX];
	size_t framed;                  /* the last one, for a client that asks again */
	char held[4096];                /* bytes that came while the run went on */
	size_t held_n;
};

/* ---- where ---- */

int gdb_where(const char *where, struct gdb_where *w, struct err *e)
{
	static const char *const arch[] = { [GDB_I386] = ",i386", [GDB_X86_64] = ",x86-64", [GDB_I8086] = ",i8086" };
	char text[300];
	unsigned long port;
	snprintf(text, sizeof text, "%s", where);
	w->arch = -1;
	for (int i = 0; i < (int)ARRAY_LEN(arch); i++) {
		char *comma = strstr(text, arch[i]);
		if (comma && strcmp(comma, arch[i]) == 0) {
			*comma = '\0';
			w->arch = i;
		}
	}
	char *colon = strrchr(text, ':'), *number = colon ? colon + 1 : text, *host = text;
	if (!*number || strspn(number, "0123456789") != strlen(number) || (port = strtoul(number, NULL, 10)) > 65535)
		return err_set(e, "--gdb", "as in --gdb 1234, --gdb 192.0.2.1:1234 or --gdb 1234,i386; port 0: any that is free",
		               "'%s': expected [ADDRESS:]PORT", where);
	w->port = (uint16_t)port;
	if (colon)
		*colon = '\0';
	size_t n = colon ? strlen(host) : 0;
	if (n > 1 && host[0] == '[' && host[n - 1] == ']') {            /* [::1] */
		host[n - 1] = '\0';
		host++;
	}
	snprintf(w->host, sizeof w->host, "%.255s", colon && *host ? host : LOOPBACK);
	return 0;
}

static int listen_at(const struct gdb_where *w, struct err *e)
{
	char port[8];
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	snprintf(port, sizeof port, "%u", w->port);
	int error = getaddrinfo(w->host, port, &hints, &list), on = 1, fd = -1, cause = 0;
	if (error)
		return err_set(e, "--gdb", NULL, "%s: %s", w->host, gai_strerror(error));
	for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
		if (fd < 0) {
			cause = errno;
			continue;
		}
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, 1) != 0) {
			cause = errno;
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	return fd >= 0 ? fd : err_set(e, "--gdb", NULL, "cannot listen on %s:%s: %s", w->host, port, strerror(cause));
}

static unsigned port_of(int fd)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof a;
	if (getsockname(fd, (struct sockaddr *)&a, &n) != 0)
		return 0;
	return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port : ((struct sockaddr_in *)&a)->sin_port);
}

/* ---- bytes out ---- */

static void put(struct server *s, const char *p, size_t n)
{
	while (n && !s->gone) {
		ssize_t k = send(s->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (k > 0) {
			p += k;
			n -= (size_t)k;
		} else if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			struct pollfd f = { s->fd, POLLOUT, 0 };
			if (poll(&f, 1, SEND_MS) == 0)
				s->gone = true;
		} else if (k == 0 || errno != EINTR) {
			s->gone = true;
		}
		s->gone |= session_interrupted();
	}
}

static void send_packet(void *who, const char *data, size_t n)
{
	struct server *s = who;
	s->framed = gdb_frame(data, n, s->frame);
	put(s, s->frame, s->framed);
}

/* ---- bytes in ---- */

/* Up to n bytes; wait: until there are some. 0: none now, or the client is gone. */
static size_t get(struct server *s, char *p, size_t n, bool wait)
{
	for (;;) {
		struct pollfd f = { s->fd, POLLIN, 0 };
		int ready = poll(&f, 1, wait ? 1000 : 0);
		if (session_interrupted())
			s->gone = true;
		if (s->gone || (ready <= 0 && !wait))
			return 0;
		if (ready <= 0)
			continue;
		ssize_t k = recv(s->fd, p, n, 0);
		if (k > 0)
			return (size_t)k;
		if (k == 0 || errno != EINTR)
			s->gone = true;
	}
}

/* While the run goes on: does the client interrupt it? Whatever else it sends waits. */
static bool interrupted(void *who)
{
	struct server *s = who;
	char bytes[256];
	size_t room = sizeof s->held - s->held_n, n;
	if (s->gone || s->stop || !room)
		return true;
	n = get(s, bytes, room < sizeof bytes ? room : sizeof bytes, false);
	for (size_t i = 0; i < n; i++)
		if (bytes[i] == 3)
			s->stop = true;
		else if (s->held_n < sizeof s->held)
			s->held[s->held_n++] = bytes[i];
	return s->stop || s->gone;
}

static void packet(struct server *s)
{
	if (!s->g->no_ack)
		put(s, "+", 1);
	s->stop = false;
	if (gdb_answer(s->g, s->parser.data, s->parser.n, &s->reply))
		send_packet(s, s->reply.data, s->reply.n);
}

static void byte(struct server *s, char b)
{
	switch (gdb_parse(&s->parser, (uint8_t)b)) {
	case GDB_PACKET:
		packet(s);
		break;
	case GDB_BAD:
		if (!s->g->no_ack)
			put(s, "-", 1);
		break;
	case GDB_NAK:
		put(s, s->frame, s->framed);
		break;
	case GDB_INTERRUPT:             /* it is stopped already */
		send_packet(s, s->g->stop, strlen(s->g->stop));
		break;
	case GDB_ACK: case GDB_MORE:
		break;
	}
}

static void serve(struct server *s)
{
	while (!s->gone && s->g->over == OVER_NOT) {
		char bytes[4096];
		size_t n = s->held_n;
		memcpy(bytes, s->held, n);
		s->held_n = 0;
		if (!n)
			n = get(s, bytes, sizeof bytes, true);
		for (size_t i = 0; i < n && !s->gone && s->g->over == OVER_NOT; i++)
			byte(s, bytes[i]);
	}
}

static int await(int fd)
{
	for (;;) {
		struct pollfd f = { fd, POLLIN, 0 };
		int ready = poll(&f, 1, 1000);
		if (session_interrupted())
			return -1;
		if (ready > 0) {
			int client = accept(fd, NULL, NULL);
			if (client >= 0)
				return client;
		}
	}
}

int gdb_serve(struct run *r, const char *where, struct err *e)
{
	struct gdb_where w;
	int on = 1, result = GDB_ENDS;
	if (gdb_where(where, &w, e) != 0)
		return -1;
	int fd = listen_at(&w, e);
	if (fd < 0)
		return -1;
	struct gdb *g = gdb_new(r, w.arch < 0 ? gdb_arch_of(run_face(r)) : (enum gdb_arch)w.arch);
	bool v6 = strchr(w.host, ':') != NULL;
	fprintf(stderr, "vmscope: waiting for gdb: set architecture %s, target remote %s%s%s:%u\n", gdb_arch_name(g->arch), v6 ? "[" : "",
	        strcmp(w.host, LOOPBACK) == 0 ? "" : w.host, v6 ? "]" : "", port_of(fd));
	fflush(stderr);
	int client = await(fd);
	close(fd);
	r->last = MACHINE_STOP_USER;
	r->started = true;
	if (client >= 0) {
		struct server *s = xcalloc(1, sizeof *s);
		s->g = g;
		s->fd = client;
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		g->send = send_packet;
		g->interrupted = interrupted;
		g->who = s;
		serve(s);
		gdb_settle(g);
		gdb_console(g);
		close(client);
		free(s);
		if (g->over == OVER_DETACHED) {         /* from where the run has come to: what it did is not done, nor printed, again */
			timeline_goto(travel_timeline(g->travel), timeline_end(travel_timeline(g->travel)));
			result = GDB_GOES_ON;
		} else if (!r->m->s.stop) {
			r->last = MACHINE_STOP_USER;    /* whatever stopped it last, this ended it */
		}
	}
	gdb_free(g);
	return result;
}

/*
 * writer NETNS MESSAGES sends to the kernel what the file MESSAGES holds, in the network
 * namespace NETNS, and reads all answers: the least that a program can do to have the
 * kernel do the same work. The file is a sequence of datagrams, each behind its length in
 * 32 bits. What the answers say does not matter here.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char messages[1 << 20], answers[1 << 16];

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

/* Whether the answer is the last one to the request. */
static int ends(const struct nlmsghdr *request, const struct nlmsghdr *answer)
{
	if (answer->nlmsg_seq != request->nlmsg_seq)
		return 0;
	if (answer->nlmsg_type == NLMSG_DONE || answer->nlmsg_type == NLMSG_ERROR)
		return 1;
	return !(request->nlmsg_flags & NLM_F_ACK) && !(answer->nlmsg_flags & NLM_F_MULTI);
}

/* How many requests of the datagram, which may hold several, have this as their last answer. */
static int ended(const char *datagram, int length, const struct nlmsghdr *answer)
{
	int count = 0;
	const struct nlmsghdr *request = (const struct nlmsghdr *)datagram;
	for (; NLMSG_OK(request, length); request = NLMSG_NEXT(request, length))
		count += ends(request, answer);
	return count;
}

static int requests(const char *datagram, int length)
{
	int count = 0;
	const struct nlmsghdr *request = (const struct nlmsghdr *)datagram;
	for (; NLMSG_OK(request, length); request = NLMSG_NEXT(request, length))
		count++;
	return count;
}

static void exchange(int sock, const char *datagram, int length)
{
	must(send(sock, datagram, length, 0) == length, "send");
	for (int open = requests(datagram, length); open > 0;) {
		int got = recv(sock, answers, sizeof(answers), 0);
		must(got > 0, "receive");
		const struct nlmsghdr *answer = (const struct nlmsghdr *)answers;
		for (; NLMSG_OK(answer, got); answer = NLMSG_NEXT(answer, got))
			open -= ended(datagram, length, answer);
	}
}

int main(int argc, char **argv)
{
	int on = 1;

	if (argc != 3)
		return 2;
	int netns = open(argv[1], O_RDONLY | O_CLOEXEC);
	must(netns >= 0 && setns(netns, CLONE_NEWNET) == 0, argv[1]);
	int file = open(argv[2], O_RDONLY | O_CLOEXEC);
	long size = read(file, messages, sizeof(messages));
	must(size > 0 && size < (long)sizeof(messages), argv[2]);
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	must(sock >= 0, "socket");
	/* As symroute does: without the first one, dumps are not filtered. */
	must(setsockopt(sock, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on)) == 0, "strict checking");
	must(setsockopt(sock, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)) == 0, "extended answers");
	for (char *at = messages; at < messages + size;) {
		int length;
		memcpy(&length, at, sizeof(length));
		at += sizeof(length);
		exchange(sock, at, length);
		at += length;
	}
	return 0;
}

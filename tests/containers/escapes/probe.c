/* A program for containers that tries operations and prints the kernel's answers: "ok", or the error's text. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static long key(const char *name) {
    /* KEYCTL_SEARCH in KEY_SPEC_SESSION_KEYRING */
    return syscall(SYS_keyctl, 10, -3, "user", name, 0);
}

/* A system call by its number for 32-bit programs. */
static long old_call(long number, long argument) {
#ifdef __x86_64__
    long answer;
    __asm__ volatile("int $0x80" : "=a"(answer) : "a"(number), "b"(argument) : "memory", "r8", "r9", "r10", "r11");
    if (answer < 0) errno = -answer;
    return answer < 0 ? -1 : answer;
#else
    return number == 20 ? 0 : (errno = EPERM, -1);
#endif
}

/* Connects to an abstract socket. */
static long abstract(const char *name) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strncpy(at.sun_path + 1, name, sizeof at.sun_path - 2);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)&at, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

/* Sends each datagram back to its sender. */
static long echo_datagrams(const char *port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(port))}, from;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof at)) return -1;
    for (;;) {
        char text[100];
        socklen_t size = sizeof from;
        ssize_t got = recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&from, &size);
        if (got < 0 || sendto(fd, text, got, 0, (struct sockaddr *)&from, size) < 0) return -1;
    }
}

static long try(const char *what, const char *name) {
    if (!strcmp(what, "key")) return key(name);
    if (!strcmp(what, "unshare")) return unshare(CLONE_NEWUSER);
    if (!strcmp(what, "clone")) return syscall(SYS_clone, CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0);
    if (!strcmp(what, "clone3")) return syscall(SYS_clone3, 0, 0);
    if (!strcmp(what, "mount")) return syscall(SYS_mount, "x", "/tmp", "tmpfs", 0, 0);
    if (!strcmp(what, "unknown")) return syscall(4000);
    if (!strcmp(what, "bpf")) return syscall(SYS_bpf, 0, 0, 0);
    if (!strcmp(what, "vsock")) return socket(40, SOCK_STREAM, 0);
    if (!strcmp(what, "packet")) return socket(AF_PACKET, SOCK_RAW, 0);
    if (!strcmp(what, "raw")) return socket(AF_INET, SOCK_RAW, 6);
    if (!strcmp(what, "abstract")) return abstract(name);
    if (!strcmp(what, "echo-datagrams")) return echo_datagrams(name);
    if (!strcmp(what, "personality")) return personality(atoi(name));
    if (!strcmp(what, "chroot")) return chroot("/");
    if (!strcmp(what, "old-getpid")) return old_call(20, 0);
    if (!strcmp(what, "old-unshare")) return old_call(310, CLONE_NEWUSER);
    if (!strcmp(what, "x32")) return syscall(0x40000000 | SYS_getpid);
    if (!strcmp(what, "mkdir")) return mkdir(name, 0755);
    if (!strcmp(what, "socket")) return socket(AF_INET, SOCK_STREAM, 0);
    if (!strcmp(what, "chmod")) return chmod(name, 04755);
    if (!strcmp(what, "write")) return open(name, O_WRONLY | O_APPEND);
    if (!strcmp(what, "xattr")) return setxattr(name, "user.mark", "x", 1, 0);
    errno = EINVAL;
    return -1;
}

int main(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        long got = try(argv[i], argv[i + 1]);
        if (got == 0 && !strcmp(argv[i], "clone")) _exit(0);
        printf("%s: %s\n", argv[i], got >= 0 ? "ok" : strerror(errno));
        fflush(stdout);
    }
    return 0;
}

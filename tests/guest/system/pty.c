/* A terminal of our own: both ends, its name, its size, what is written. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

int main(void) {
    int m = posix_openpt(O_RDWR | O_NOCTTY);
    if (m < 0) return perror("/dev/ptmx"), 1;
    if (grantpt(m) || unlockpt(m)) return perror("unlockpt"), 1;
    int s = open(ptsname(m), O_RDWR | O_NOCTTY);
    if (s < 0) return perror(ptsname(m)), 1;
    const char *name = ttyname(s);
    printf("name: %d, terminal: %d\n", name && !strcmp(name, ptsname(m)), isatty(s));
    struct winsize size = { 25, 81, 0, 0 }, seen = { 0 };
    ioctl(m, TIOCSWINSZ, &size);
    ioctl(s, TIOCGWINSZ, &seen);
    struct termios t;
    tcgetattr(s, &t);
    cfmakeraw(&t);
    tcsetattr(s, TCSANOW, &t);
    char b[16] = "";
    if (write(m, "keys", 4) != 4 || read(s, b, sizeof b) != 4) return 1;
    printf("size: %d %d, read: %s\n", seen.ws_row, seen.ws_col, b);
    return 0;
}

/* Shows what it was started with; or ends as told: "exit N", "die N", "copy" (standard input to output), "away" (from
   its folder and files). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "exit") == 0) return atoi(argv[2]);
    if (argc == 3 && strcmp(argv[1], "die") == 0) raise(atoi(argv[2]));
    if (argc == 2 && strcmp(argv[1], "away") == 0) return syscall(SYS_close_range, 3, ~0U, 0) | chdir("/");
    if (argc == 2 && strcmp(argv[1], "copy") == 0) {
        for (int c; (c = getchar()) != EOF;) putchar(c);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "flood") == 0)
        for (;;)
            if (write(1, "yyyyyyyyyyyyyyyy", 16) < 0) return 33;
    for (int i = 0; i < argc; i++) printf("[%s]", argv[i]);
    char cwd[4096];
    printf(" in %s, A=%s, HOME %s\n", getcwd(cwd, sizeof cwd), getenv("A") ? getenv("A") : "(none)", getenv("HOME") ? "set" : "unset");
    return 0;
}

// Supplementary groups that a program gives itself, as it and the next program see them.
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <unistd.h>

static void show(void) {
    gid_t list[8] = {0};
    int n = getgroups(8, list);
    printf("%d:", n);
    for (int i = 0; i < n; i++) printf(" %d", (int)list[i]);
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc > 2) {
        gid_t wanted[] = {20, 4, 9}, one;
        if (setgroups(3, wanted)) return 1;
        show();
        int few = getgroups(1, &one);
        printf("%d %d %d\n", getgroups(0, 0), few, few < 0 ? errno : 0);
        fflush(stdout);
        execl(argv[1], argv[1], "again", (char *)0);
        return 2;
    }
    show();
    if (setgroups(0, 0)) return 3;
    show();
    return 0;
}

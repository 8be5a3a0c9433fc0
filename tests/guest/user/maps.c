// What /proc tells of the mappings of this program, of a forked child, and of a program that it started.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

// Prints the protection of the mapping at `address` in the list `file` of `pid`, and whether that tells of others' files.
static void look(const char *who, int pid, const char *file, void *address, const char *program) {
    char path[64], line[1024], found[8] = "none";
    int foreign = 0, own = 0, more = 0, here = 0;
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        unsigned long start, end;
        char prot[8], name[512] = "";
        int n = sscanf(line, "%lx-%lx %7s %*x %*x:%*x %*d %511[^\n]", &start, &end, prot, name);
        if (n < 3) {
            more += here && strncmp(line, "Rss:", 4) == 0;
            continue;
        }
        here = (unsigned long)address >= start && (unsigned long)address < end;
        if (here) memcpy(found, prot, sizeof found);
        if (strstr(name, program) && prot[2] == 'x') own++;
        else if (name[0] == '/' && !strstr(name, program)) foreign++;
    }
    if (f) fclose(f);
    printf("%s %s: %s, code %s, foreign %d, more %d\n", who, file, found, own ? "yes" : "no", foreign, more);
}

int main(int argc, char **argv) {
    const char *name = strrchr(argv[0], '/') + 1;
    if (argc > 1) {
        write(1, "x", 1);
        pause();
    }
    char *both = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *child_only;
    both[0] = 1;
    mprotect(both + 4096, 4096, PROT_NONE);
    int ready[2], started[2];
    if (pipe(ready) || pipe(started)) return 1;
    pid_t child = fork();
    if (child == 0) {
        child_only = mmap(0, 12288, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        munmap(both, 4096);
        write(ready[1], &child_only, sizeof child_only);
        pause();
    }
    read(ready[0], &child_only, sizeof child_only);
    look("self", getpid(), "maps", both, name);
    look("self", getpid(), "smaps", both, name);
    look("guard", getpid(), "maps", both + 4096, name);
    look("child", child, "maps", both, name);
    look("child", child, "maps", child_only + 4096, name);
    look("child", child, "smaps", child_only, name);
    look("not here", getpid(), "maps", child_only, name);
    pid_t other = fork();
    if (other == 0) {
        dup2(started[1], 1);
        execl("/proc/self/exe", argv[0], "wait", (char *)0);
        _exit(1);
    }
    char c;
    read(started[0], &c, 1);
    look("program", other, "maps", (void *)8, name);
    kill(child, SIGKILL);
    kill(other, SIGKILL);
    while (wait(0) > 0) {
    }
    return 0;
}

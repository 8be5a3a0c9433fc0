/* Tells where its images are, in one line: itself and, if dynamic, the dynamic linker, libc, libm and a library that is
   loaded late. With "exec" (or "drop": as a user without rights), goes away from its files first and tells it from the
   program that it executes. With a file: where its mappings come that a dynamic linker might make of it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int drop = argc == 2 && strcmp(argv[1], "drop") == 0;
    if (drop || (argc == 2 && strcmp(argv[1], "exec") == 0)) {
        if (drop && setuid(65534) != 0) return 1;
        for (int fd = 3; fd < 70000; fd++) close(fd);
        syscall(SYS_close_range, 3, ~0U, 0);
        chdir("/");
        execl("/proc/self/exe", argv[0], (char *)0);
        return 1;
    }
    if (argc == 2) {
        char header[64];
        int fd = open(argv[1], O_RDONLY);
        void *code = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
        munmap(code, 4096);
        void *data = mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
        munmap(data, 4096);
        if (read(fd, header, sizeof header) != sizeof header) return 2;
        void *first = mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
        munmap(first, 4096);
        if (pread(fd, header, sizeof header, 0) != sizeof header) return 2;
        void *room = mmap(0, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        void *more = mmap(0, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        printf("code %p data %p first %p room %p more %p\n", code, data, first, room, more);
        return 0;
    }
    printf("self %p", (void *)main);
#ifndef ALONE
    void *late = dlopen("libresolv.so.2", RTLD_NOW);
    printf(" linker %#lx libc %p libm %p late %p", getauxval(AT_BASE), (void *)printf, (void *)cos, dlsym(late, "res_query"));
    printf(" none %d", late == 0);
#endif
    puts("");
    return 0;
}

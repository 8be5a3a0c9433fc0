/* Children. argv[1]: "fork" are waited for, "exec" execute the host's /bin/true before; argv[2]: how many. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int exec = argc > 1 && !strcmp(argv[1], "exec"), sum = 0;
    long n = argc > 2 ? atol(argv[2]) : 10;
    for (long i = 0; i < n; i++) {
        int status = 0;
        pid_t child = fork();
        if (child == 0) {
            if (exec) execl("/bin/true", "true", NULL);
            _exit(exec ? 99 : (int)(i % 7));
        }
        if (waitpid(child, &status, 0) != child) return 1;
        sum += WEXITSTATUS(status);
    }
    printf("forks %d\n", sum);
    return 0;
}

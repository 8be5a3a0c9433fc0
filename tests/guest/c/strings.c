/* The C library's string functions at every alignment, number formatting and parsing. */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t hash(const void *p, size_t n) {
    const unsigned char *b = p;
    uint32_t h = 2166136261u;
    while (n--) h = (h ^ *b++) * 16777619u;
    return h;
}

int main(void) {
    static char a[512], b[512];
    uint32_t total = 0;
    for (unsigned from = 0; from < 17; from += 3)
        for (unsigned to = 0; to < 17; to += 4)
            for (unsigned n = 0; n < 140; n += 1 + n / 9) {
                for (unsigned i = 0; i < sizeof a; i++) a[i] = (char)(1 + (i * 7 + from) % 250), b[i] = (char)i;
                memcpy(b + to, a + from, n);
                total = total * 31 + hash(b, 256);
                memmove(a + to, a + from, n);
                total = total * 31 + hash(a, 256);
                memset(b + to, (int)from, n);
                a[from + n] = 0;
                total += (uint32_t)strlen(a + from) + hash(b, 256);
                total = total * 31 + (uint32_t)(memcmp(a + from, b + to, n) > 0);
                const char *at = strchr(a + from, 1 + (int)n);
                total = total * 31 + (at ? (uint32_t)(at - a) : 7);
                strcpy(b + to, a + from);
                total += (uint32_t)strcmp(b + to, a + from) + (uint32_t)strnlen(b + to, 64);
            }
    printf("blocks %08x\n", total);

    char line[] = "the quick brown fox jumps over the lazy dog; the end";
    for (char *save, *word = strtok_r(line, " ;", &save); word; word = strtok_r(NULL, " ;", &save)) {
        for (char *p = word; *p; p++) *p = (char)toupper((unsigned char)*p);
        printf("%s.", word);
    }
    putchar('\n');
    printf("%s|%s|%zu\n", strstr("needle in a haystack", "hay"), strrchr("/usr/lib/x", '/'), strcspn("abc1", "123"));
    printf("%d %5d|%-5d|%05d %x %#o %+lld %zu %c %%\n", -7, 42, 42, 42, 0xbeefu, 8u, 1234567890123ll, sizeof line, '@');
    printf("%ld %lu %lld %d\n", strtol("-0x1f", NULL, 16), strtoul("4294967297", NULL, 10), strtoll("777", NULL, 8), atoi(" 12abc"));
    int x, n;
    char w[16];
    n = sscanf("17 apples", "%d %15s", &x, w);
    printf("%d %d %s\n", n, x, w);
    return 0;
}

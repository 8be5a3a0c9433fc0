/* What the interpreter is measured on: sorting, hashing, byte loops, without a C library. */
typedef unsigned char u8;
typedef unsigned int u32;

static u32 data[256];
static u8 text[512];

void _start(void) {
    u32 x = 12345, h = 2166136261u;
    for (int i = 0; i < 256; i++) {
        x = x * 1664525 + 1013904223;
        data[i] = x >> 7;
    }
    for (int i = 1; i < 256; i++) {
        u32 v = data[i];
        int j = i;
        for (; j > 0 && data[j - 1] > v; j--) data[j] = data[j - 1];
        data[j] = v;
    }
    for (int i = 0; i < 512; i++) text[i] = (u8)(data[i & 255] >> (i & 7));
    for (int round = 0; round < 8; round++)
        for (int i = 0; i < 512; i++) h = (h ^ text[i]) * 16777619;
    data[0] = h;
    __asm__ volatile("brk #0");
    for (;;) {}
}

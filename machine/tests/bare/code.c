// Code that changes: through its own mapping and another one, with and without maintenance, and by being mapped anew.
#include "bare.h"

static u32 pages[4][1024] __attribute__((aligned(4096)));
#define A 0xffff000000200000ul
#define B 0xffff000000201000ul
#define C 0xffff000000400000ul
#define RET 0xd65f03c0u
typedef u64 function(u64);

// mov x0, #n; ret
static void returns(u32 *at, u32 n) {
    ((volatile u32 *)at)[0] = 0xd2800000u | n << 5;
    ((volatile u32 *)at)[1] = RET;
}

void run(void) {
    u64 bad = 0;
    // The same page at two addresses: written at one, run at the other.
    map(upper, A, pages[0], UXN);
    map(upper, C, pages[0], UXN | PXN);
    for (u32 i = 0; i < 3000; i++) {
        if (i % 100 == 0) {
            returns((u32 *)C, i / 100);
            sync_code((void *)C, 8);
        }
        bad += ((function *)A)(0) != i / 100;
    }
    report("another mapping", bad);
    // Written where it runs; no maintenance but ISB, as programs do that were only ever tried on emulators.
    for (u32 i = 0; i < 3000; i++) {
        if (i % 100 == 0) {
            returns((u32 *)A, i / 100 + 1);
            ISB();
        }
        bad += ((function *)A)(0) != i / 100 + 1;
    }
    report("no maintenance", bad);
    // Data beside code in one page.
    volatile u32 *data = (volatile u32 *)A + 512;
    *data = 0;
    for (u32 i = 0; i < 3000; i++) {
        returns((u32 *)A, 7);
        *data += ((function *)A)(0);
    }
    report("data beside code", *data);

    // A calls B directly; B's address changes its page.
    pages[1][0] = 0xa9bf7bfdu;                   // stp x29, x30, [sp, #-16]!
    pages[1][1] = 0x94000000u | (PAGE - 4) / 4;  // bl B
    pages[1][2] = 0x91000400u;                   // add x0, x0, #1
    pages[1][3] = 0xa8c17bfdu;                   // ldp x29, x30, [sp], #16
    pages[1][4] = RET;
    returns(pages[2], 10);
    returns(pages[3], 20);
    sync_code(pages, sizeof pages);
    map(upper, A, pages[1], UXN);
    flush_page(A);
    for (u32 i = 0; i < 4000; i++) {
        if (i % 200 == 0) {
            map(upper, B, pages[2 + i / 200 % 2], UXN);
            flush_page(B);
        }
        bad += ((function *)A)(0) != (i / 200 % 2 ? 21 : 11);
    }
    report("a page mapped anew", bad);

    // The same under a block of 2 MiB, dropped by the address of another page in it.
    u64 *block = entry(upper, C, 2);
    static u32 big[2][2 << 18] __attribute__((aligned(2 << 20)));
    for (u32 i = 0; i < 2; i++) {
        returns(big[i] + 1024, 30 + i);
        sync_code(big[i] + 1024, 8);
    }
    for (u32 i = 0; i < 2000; i++) {
        if (i % 200 == 0) {
            *(volatile u64 *)block = 0;
            flush_page(C + 5 * PAGE);
            *(volatile u64 *)block = (u64)big[i / 200 % 2] | INNER | AF | UXN | 1;
            flush_page(C + 5 * PAGE);
        }
        bad += ((function *)(C + PAGE))(0) != 30 + i / 200 % 2;
    }
    report("a block mapped anew", bad);
}
void second(void) {}

// Two processors: one changes a mapping, and once its DSB is through, nobody may reach the old page any more.
#include "bare.h"

#define DATA 0xffff000000200000ul
#define CODE 0xffff000000300000ul
#define POISON 0xdead
static volatile u64 data[2][512] __attribute__((aligned(4096)));
static u32 code[2][1024] __attribute__((aligned(4096)));
static volatile u64 stop, reads, poisoned, calls, wrong, ready;
typedef u64 function(void);

static void returns(u32 *at, u32 n) {
    ((volatile u32 *)at)[0] = 0xd2800000u | n << 5;
    ((volatile u32 *)at)[1] = 0xd65f03c0u;
    sync_code(at, 8);
}

void run(void) {
    returns(code[0], 1);
    returns(code[1], 1);
    map(upper, DATA, (void *)data[0], UXN | PXN);
    map(upper, CODE, code[0], UXN);
    flush_page(DATA);
    start_second();
    while (!ready) __asm__ volatile("yield");
    for (u32 i = 1; i <= 400; i++) {
        u32 now = i % 2;
        data[now][0] = i;
        returns(code[now], 1);
        map(upper, DATA, (void *)data[now], UXN | PXN);
        map(upper, CODE, code[now], UXN);
        __asm__ volatile("dsb ishst; tlbi vaae1is, %0; tlbi vaae1is, %1; dsb ish; isb"
                         :
                         : "r"(DATA >> 12 & 0xfffffffffff), "r"(CODE >> 12 & 0xfffffffffff)
                         : "memory");
        data[!now][0] = POISON;
        returns(code[!now], 2);
        for (volatile u32 wait = 0; wait < 100; wait++) {}
    }
    stop = 1;
    while (stop == 1) __asm__ volatile("yield");
    report("poisoned", poisoned);
    report("wrong", wrong);
    report("looked", reads > 100 && calls > 10);
}

void second(void) {
    ready = 1;
    while (!stop) {
        for (u32 i = 0; i < 100; i++) poisoned += *(volatile u64 *)DATA == POISON;
        reads += 100;
        ISB();
        wrong += ((function *)CODE)() != 1;
        calls++;
    }
    stop = 2;
}

// TLBI by range and of the outer shareable domain, with two CPUs: afterwards nobody reaches the old pages any more, and
// what lies beside the range still works.
#include "bare.h"

#define DATA 0xffff000000400000ul
#define PAGES 40
#define POISON 0xdead
static volatile u64 data[2][PAGES][512] __attribute__((aligned(4096)));
static volatile u64 stop, reads, poisoned, ready;

// TLBI RVAAE1IS and its kin take: granule 4K, scale, number, first page.
static u64 range(u64 va, u64 scale, u64 num) { return 1ul << 46 | scale << 44 | num << 39 | (va >> 12 & 0x1ffffffffful); }

static void switch_to(u32 now, u32 first, u32 count) {
    for (u32 p = first; p < first + count; p++) map(upper, DATA + p * PAGE, (void *)data[now][p], UXN | PXN);
    __asm__ volatile("dsb ishst" : : : "memory");
}

void run(void) {
    u64 bad = 0;
    report("TLBI", MRS(id_aa64isar0_el1) >> 56 & 15);
    switch_to(0, 0, PAGES);
    start_second();
    while (!ready) __asm__ volatile("yield");
    for (u32 i = 1; i <= 90; i++) {
        u32 now = i & 1, scale = i & 2 ? 1 : 0;
        for (u32 p = 0; p < PAGES; p++) data[now][p][0] = i;
        switch_to(now, 0, PAGES);
        u64 all = range(DATA, scale, scale ? 0 : 31);
        if (i % 3) __asm__ volatile("tlbi rvaae1is, %0" : : "r"(all) : "memory");
        else __asm__ volatile("tlbi rvaae1os, %0" : : "r"(all) : "memory");
        __asm__ volatile("dsb ish; isb" : : : "memory");
        for (u32 p = 0; p < PAGES; p++) {
            bad += data[now][p][0] != i || *(volatile u64 *)(DATA + p * PAGE) != i;
            data[!now][p][0] = POISON;
        }
    }
    // One page at a time, by the outer shareable form and by this CPU's own; then everything there is.
    stop = 1;
    while (stop == 1) __asm__ volatile("yield");
    for (u32 i = 0; i < 60; i++) {
        u32 p = i % PAGES, now = i & 1;
        data[now][p][0] = i;
        switch_to(now, p, 1);
        u64 page = DATA + p * PAGE;
        if (i % 3 == 0) __asm__ volatile("tlbi vaae1os, %0" : : "r"(page >> 12 & 0xffffffffffful) : "memory");
        else if (i % 3 == 1) __asm__ volatile("tlbi rvaale1, %0" : : "r"(range(page & ~PAGE, 0, 0)) : "memory");
        else __asm__ volatile("tlbi vmalle1os" : : : "memory");
        __asm__ volatile("dsb ish; isb" : : : "memory");
        bad += *(volatile u64 *)page != i;
    }
    // Encodings that are not there are undefined.
    u64 undefined = 0;
    fault_next = 0;
#define UNDEFINED(op) \
    __asm__ volatile("adr x9, 1f\n str x9, [%0]\n " op "\n 1:" : : "r"(&fault_next) : "x9", "memory"); \
    undefined += fault_esr >> 26 == 0 && !fault_next; \
    fault_esr = ~0ul;
    UNDEFINED("sys #0, c8, c3, #4, x9")
    UNDEFINED("sys #0, c8, c2, #0, x9")
    UNDEFINED("sys #0, c8, c0, #1, x9")
    UNDEFINED("sys #0, c7, c9, #2, x9")
    report("undefined", undefined);
    report("bad", bad);
    report("poisoned", poisoned);
    report("looked", reads > 100);
}

void second(void) {
    ready = 1;
    while (!stop) {
        for (u32 p = 0; p < PAGES; p++) poisoned += *(volatile u64 *)(DATA + p * PAGE) == POISON;
        reads += PAGES;
    }
    stop = 2;
}

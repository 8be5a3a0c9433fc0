// Twenty address spaces: at one address in EL0 each has code and data of its own.
#include "bare.h"

#define SPACES 20
#define CODE 0x8000000000ul
#define DATA 0x8000001000ul
static u32 code[SPACES + 1][1024] __attribute__((aligned(4096)));
static volatile u64 data[SPACES + 1][512] __attribute__((aligned(4096)));
static u64 *tops[SPACES];

static void use(u32 n) {
    MSR(ttbr0_el1, (u64)tops[n] | (u64)(n + 1) << 48);
    ISB();
}

// Loops x1 times: adds [x0] to a sum that starts at `n`; counts in [x0 + 8].
static void program(u32 *at, u32 n) {
    const u32 words[] = {
        0xd2800002u | n << 5, // mov x2, #n
        0xf9400003u,          // ldr x3, [x0]
        0x8b030042u,          // add x2, x2, x3
        0xf9400403u,          // ldr x3, [x0, #8]
        0x91000463u,          // add x3, x3, #1
        0xf9000403u,          // str x3, [x0, #8]
        0xf1000421u,          // subs x1, x1, #1
        0x54ffff41u,          // b.ne -24
        0xaa0203e0u,          // mov x0, x2
        0xd4000001u,          // svc #0
    };
    for (u32 i = 0; i < sizeof words / 4; i++) at[i] = words[i];
    sync_code(at, sizeof words);
}

void run(void) {
    u64 bad = 0, seen = 0;
    for (u32 n = 0; n <= SPACES; n++) {
        program(code[n], n);
        data[n][0] = 1000 + n;
        if (n == SPACES) break;
        tops[n] = new_space();
        map(tops[n], CODE, code[n], USER | PXN | PRIVATE);
        map(tops[n], DATA, (void *)data[n], USER | UXN | PXN | PRIVATE);
    }
    for (u32 round = 0; round < 60; round++)
        for (u32 n = 0; n < SPACES; n++) {
            use(n);
            bad += run_el0(CODE, DATA, 20) != n + 20 * (1000 + n);
            // EL1 looks at the same page (PAN is off), which is another one in the next space.
            seen += *(volatile u64 *)(DATA + 8);
        }
    report("el0", bad);
    report("el1", seen);
    for (u32 n = 0; n < SPACES; n++) bad += data[n][1] != 60 * 20;
    report("counts", bad);
    // One space gets other pages; only its own translations are dropped.
    for (u32 round = 0; round < 40; round++) {
        u32 other = round % 2 ? 3 : SPACES;
        map(tops[3], CODE, code[other], USER | PXN | PRIVATE);
        map(tops[3], DATA, (void *)data[other], USER | UXN | PXN | PRIVATE);
        __asm__ volatile("dsb ishst; tlbi aside1is, %0; dsb ish; isb" : : "r"(4ul << 48) : "memory");
        for (u32 n = 2; n < 5; n++) {
            use(n);
            u32 m = n == 3 ? other : n;
            bad += run_el0(CODE, DATA, 50) != m + 50 * (1000 + m);
        }
    }
    report("another page", bad);
}
void second(void) {}

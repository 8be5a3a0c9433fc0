// Faults in hot code are taken at their instruction, with every register as it was.
#include "bare.h"

#define AREA 0xffff000000200000ul
static u64 page[512] __attribute__((aligned(4096)));

void run(void) {
    u64 bad = 0, expected = 0, sum = 0;
    map(upper, AREA, page, UXN | PXN);
    for (u64 i = 0; i < 6000; i++) {
        u64 at = AREA + (i % 3 == 2 ? PAGE : 0) + i % 500 * 8, x = i, y = ~i, before = faults;
        __asm__ volatile(
            "add %0, %0, #5\n eor %1, %1, %0\n str %0, [%2]\n add %0, %0, #7\n ldr %1, [%2]\n sub %0, %0, #1\n"
            : "+&r"(x), "+&r"(y)
            : "r"(at)
            : "memory");
        if (i % 3 == 2) {
            // Both accesses fault; the load leaves its register alone.
            expected += 2;
            bad += faults != before + 2 || fault_far != at || y != (~i ^ (i + 5)) || x != i + 11;
            bad += (fault_esr >> 26) != 0x25 || (fault_esr & 0x7f) != 7;
        } else {
            bad += faults != before || y != i + 5 || x != i + 11;
        }
        sum += y;
    }
    report("bad", bad);
    report("faults", faults - expected);
    // An unaligned access over the end of a page, both pages there.
    static u64 two[1024] __attribute__((aligned(4096)));
    map(upper, AREA + 4 * PAGE, two + 512, UXN | PXN);
    map(upper, AREA + 5 * PAGE, two, UXN | PXN);
    for (u64 i = 0; i < 3000; i++) {
        volatile u64 *at = (volatile u64 *)(AREA + 5 * PAGE - 1 - i % 7);
        *at = i * 0x0101010101010101;
        bad += *at != i * 0x0101010101010101;
    }
    report("over the edge", bad);
    report("pieces", two[0] != 0 && two[1023] != 0);
    // ERET to EL2, which is not there: illegal execution state, unless the address is wrong in the first place.
    for (u32 i = 0; i < 2; i++) {
        u64 to;
        __asm__ volatile(
            "adr %0, 1f\n str %0, [%1]\n add %0, %0, %2\n msr elr_el1, %0\n mov %0, #0x3c9\n msr spsr_el1, %0\n"
            "isb\n eret\n 1: nop\n"
            : "=&r"(to)
            : "r"(&fault_next), "r"(2ul * i)
            : "memory");
        report("illegal", fault_esr >> 26);
    }
}
void second(void) {}

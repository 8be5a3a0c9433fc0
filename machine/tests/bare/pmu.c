// Performance monitors: instructions are counted exactly, cycles pass, levels are told apart, overflow interrupts.
#include "bare.h"

static u32 program[16] __attribute__((aligned(4096)));
static volatile u32 overflows, wrong;

static void overflowed(u32 id) {
    wrong += id != 23;
    u64 which = MRS(pmovsset_el0);
    overflows |= which;
    MSR(pmovsclr_el0, which);
    MSR(pmintenclr_el1, which);
    ISB();
}

void run(void) {
    u64 a, b, c;
    report("monitors", MRS(id_aa64dfr0_el1) >> 8 & 15);
    report("counters", MRS(pmcr_el0) >> 11 & 31);
    report("events", MRS(pmceid0_el0));
    MSR(pmevtyper0_el0, 0x08);
    MSR(pmevtyper1_el0, 0x08 | 1ul << 31);
    MSR(pmccfiltr_el0, 0);
    MSR(pmcntenset_el0, 1ul << 31 | 3);
    MSR(pmcr_el0, 7);
    ISB();
    // The reads themselves are counted, too: 1000 turns of 3, and 2 on the way.
    __asm__ volatile("mrs %0, pmevcntr0_el0\n mov %2, #1000\n 1: sub %2, %2, #1\n nop\n cbnz %2, 1b\n mrs %1, pmevcntr0_el0"
                     : "=&r"(a), "=&r"(b), "=&r"(c));
    report("in a loop", b - a);
    // A load that faults is not executed; its handler is.
    u64 before = faults;
    __asm__ volatile("mrs %0, pmevcntr0_el0\n ldr xzr, [%2]\n mrs %1, pmevcntr0_el0" : "=&r"(a), "=&r"(b) : "r"(1ul << 46));
    report("a fault", faults - before);
    report("and its handler", b - a > 20 && b - a < 200);
    // At EL0: 20 turns of 2, and 2 more; the SVC is one of them.
    const u32 words[] = {0xf1000421u, 0x54ffffe1u, 0xd503201fu, 0xd4000001u};
    for (u32 i = 0; i < 4; i++) program[i] = words[i];
    sync_code(program, sizeof words);
    map(lower, 0x8000000000ul, program, USER | PXN | PRIVATE);
    for (u32 i = 0; i < 40; i++) {
        a = MRS(pmevcntr1_el0);
        run_el0(0x8000000000ul, 0, 20);
        b = MRS(pmevcntr1_el0);
        wrong += b - a != 42;
    }
    report("at EL0", b - a);
    a = MRS(pmccntr_el0);
    for (volatile u32 i = 0; i < 1000; i++) {}
    report("cycles pass", MRS(pmccntr_el0) - a > 100);
    // Overflow, by each kind of counter.
    on_interrupt = overflowed;
    interrupts_on(0);
    MSR(pmevcntr0_el0, 0xfffffff0);
    MSR(pmintenset_el1, 1);
    while (!(overflows & 1)) {}
    MSR(pmccntr_el0, -1000ul);
    MSR(pmintenset_el1, 1ul << 31);
    while (!(overflows >> 31)) {}
    report("overflows", overflows);
    report("left", MRS(pmovsset_el0));
    // EL0 is let in only where PMUSERENR_EL0 says so: otherwise a trap that names the register.
    program[0] = 0xd53b9d05u; // mrs x5, pmccntr_el0
    program[1] = 0xd4000001u;
    sync_code(program, 8);
    MSR(pmuserenr_el0, 0);
    fault_esr = 0;
    run_el0(0x8000000000ul, 0, 0);
    report("trap", MRS(esr_el1));
    MSR(pmuserenr_el0, 4);
    run_el0(0x8000000000ul, 0, 0);
    report("no trap", MRS(esr_el1));
    MSR(pmcr_el0, 0);
    report("wrong", wrong);
}
void second(void) {}

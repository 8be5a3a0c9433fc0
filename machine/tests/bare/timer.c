// The generic timer: no interrupt before its time, one in its time, while running and asleep; and who may look at it.
#include "bare.h"

static volatile u32 fired, early, wrong;
static volatile u64 due;
static u32 program[8] __attribute__((aligned(4096)));
#define EL0_CODE 0x8000000000ul

static void handler(u32 id) {
    fired++;
    if (id == 27) {
        early += MRS(cntvct_el0) < due;
        wrong += (MRS(cntv_ctl_el0) & 7) != 5;
        MSR(cntv_ctl_el0, 3);
    } else if (id == 30) {
        early += MRS(cntpct_el0) < due;
        wrong += (MRS(cntp_ctl_el0) & 7) != 5;
        MSR(cntp_ctl_el0, 3);
    } else {
        wrong++;
    }
    ISB();
}
// The class of the exception that `word` takes at EL0, and what it read.
static u64 at_el0(u32 word) {
    program[0] = word;
    program[1] = 0xd4000001u;
    sync_code(program, 8);
    run_el0(EL0_CODE, 0, 0);
    return MRS(esr_el1) >> 26;
}

void run(void) {
    report("frequency", MRS(cntfrq_el0));
    interrupts_on(0);
    on_interrupt = handler;
    // By each timer, by comparison and by the time that is left; spinning or asleep.
    for (u32 i = 0; i < 40; i++) {
        u32 virt = i & 1, before = fired;
        __asm__ volatile("msr daifset, #2; isb");
        u64 now = MRS(cntvct_el0);
        due = now + 20000 + i * 1000;
        if (virt && i & 4) MSR(cntv_cval_el0, due);
        else if (virt) MSR(cntv_tval_el0, due - now);
        else if (i & 4) MSR(cntp_cval_el0, due);
        else MSR(cntp_tval_el0, due - now);
        if (virt) MSR(cntv_ctl_el0, 1);
        else MSR(cntp_ctl_el0, 1);
        if (i & 2)
            while (fired == before) __asm__ volatile("wfi; msr daifclr, #2; isb; msr daifset, #2");
        __asm__ volatile("msr daifclr, #2; isb");
        while (fired == before) {}
    }
    report("fired", fired);
    report("early", early);
    report("wrong", wrong);
    // A masked timer tells that its time has come, and does not interrupt.
    MSR(cntv_tval_el0, 0);
    MSR(cntv_ctl_el0, 3);
    ISB();
    report("masked", MRS(cntv_ctl_el0));
    report("left", MRS(cntv_tval_el0) >> 31);
    report("still", fired);
    MSR(cntv_ctl_el0, 0);
    MSR(cntp_ctl_el0, 0);
    // Time goes one way, and both counters are one.
    u64 last = 0, back = 0;
    for (u32 i = 0; i < 5000; i++) {
        u64 v = MRS(cntvct_el0), p = MRS(cntpct_el0);
        back += v < last || p < v;
        last = p;
    }
    report("back", back);
    // EL0 sees what CNTKCTL_EL1 lets it see.
    map(lower, EL0_CODE, program, USER | PXN | PRIVATE);
    const u32 words[] = {0xd53be000u, 0xd53be020u, 0xd53be040u, 0xd53be220u, 0xd53be320u};
    const u32 controls[] = {0, 1, 2, 1 << 8, 1 << 9};
    for (u32 c = 0; c < 5; c++) {
        MSR(cntkctl_el1, controls[c]);
        ISB();
        for (u32 w = 0; w < 5; w++) { number(at_el0(words[w])); put(w == 4 ? '\n' : ' '); }
    }
}
void second(void) {}

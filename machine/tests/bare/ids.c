// The identification registers: what is there, and that it works as they say.
#include "bare.h"

static u32 program[4] __attribute__((aligned(4096)));
#define SHOW(name) report(#name, MRS(name))
void run(void) {
    SHOW(midr_el1);
    SHOW(mpidr_el1);
    SHOW(revidr_el1);
    SHOW(ctr_el0);
    SHOW(dczid_el0);
    SHOW(clidr_el1);
    SHOW(id_aa64pfr0_el1);
    SHOW(id_aa64pfr1_el1);
    SHOW(id_aa64dfr0_el1);
    SHOW(id_aa64dfr1_el1);
    SHOW(id_aa64isar0_el1);
    SHOW(id_aa64isar1_el1);
    report("id_aa64isar2_el1", MRS(S3_0_C0_C6_2));
    SHOW(id_aa64mmfr0_el1);
    SHOW(id_aa64mmfr1_el1);
    SHOW(id_aa64mmfr2_el1);
    // All others of the space read as zero.
    u64 others = 0;
#define OTHER(crm, op2) others |= MRS(S3_0_C0_C##crm##_##op2);
#define OTHERS(crm) OTHER(crm, 0) OTHER(crm, 1) OTHER(crm, 2) OTHER(crm, 3) OTHER(crm, 4) OTHER(crm, 5) OTHER(crm, 6) OTHER(crm, 7)
    OTHERS(1) OTHERS(2) OTHERS(3)
    OTHER(4, 2) OTHER(4, 3) OTHER(4, 4) OTHER(4, 5) OTHER(4, 6) OTHER(4, 7)
    OTHER(5, 2) OTHER(5, 3) OTHER(5, 4) OTHER(5, 5) OTHER(5, 6) OTHER(5, 7)
    OTHER(6, 3) OTHER(6, 4) OTHER(6, 5) OTHER(6, 6) OTHER(6, 7)
    OTHER(7, 3) OTHER(7, 4) OTHER(7, 5) OTHER(7, 6) OTHER(7, 7)
    report("others", others);
    // The interrupt controller's registers are there if they say so.
    u64 here = 0;
    __asm__ volatile("adr x9, 1f\n str x9, [%0]\n mrs x10, S3_0_C4_C6_0\n 1:" : : "r"(&fault_next) : "x9", "x10", "memory");
    here = fault_next != 0;
    fault_next = 0;
    report("GIC", here != (MRS(id_aa64pfr0_el1) >> 24 & 15));
    // Breakpoints, watchpoints, event counters: as many as they say, and no more.
    u64 undefined = 0;
#define UNDEFINED(op) \
    fault_esr = ~0ul; \
    __asm__ volatile("adr x9, 1f\n str x9, [%0]\n " op "\n 1:" : : "r"(&fault_next) : "x9", "x10", "memory"); \
    undefined = undefined << 1 | (fault_esr >> 26 == 0); \
    fault_next = 0;
    UNDEFINED("mrs x10, dbgbvr5_el1")
    UNDEFINED("mrs x10, dbgbvr6_el1")
    UNDEFINED("mrs x10, dbgwvr3_el1")
    UNDEFINED("mrs x10, dbgwvr4_el1")
    UNDEFINED("mrs x10, pmevcntr5_el0")
    UNDEFINED("mrs x10, pmevcntr6_el0")
    UNDEFINED("msr s3_0_c4_c2_3, x10") // PAN
    UNDEFINED("mrs x10, s3_0_c4_c2_4") // UAO
    UNDEFINED("mrs x10, s3_3_c4_c2_5") // DIT
    UNDEFINED("mrs x10, s3_3_c4_c2_6") // SSBS
    UNDEFINED("mrs x10, s3_3_c4_c2_7") // TCO, of MTE
    UNDEFINED("mrs x10, s3_3_c2_c4_0") // RNDR
    UNDEFINED("mrs x10, s3_0_c1_c2_0") // ZCR_EL1, of SVE
    UNDEFINED("mrs x10, s3_0_c2_c1_0") // APIAKeyLo_EL1, of pointer authentication
    UNDEFINED("mrs x10, s3_0_c10_c4_4") // LORID_EL1
    UNDEFINED("mrs x10, s3_4_c1_c1_0") // HCR_EL2
    report("undefined", undefined);
    // Firmware is called from EL1, by either instruction; EL0 cannot.
    register u64 x0 __asm__("x0") = 0x84000000;
    __asm__ volatile("smc #0" : "+r"(x0) : : "x1", "x2", "x3", "memory");
    report("PSCI", x0 == firmware(0x84000000, 0, 0, 0) ? x0 : 0);
    map(lower, 0x8000000000ul, program, USER | PXN | PRIVATE);
    for (u32 i = 0; i < 2; i++) {
        program[0] = i ? 0xd4000003u : 0xd4000002u;
        sync_code(program, 4);
        run_el0(0x8000000000ul, 0x84000008, 0);
        report("at EL0", (MRS(esr_el1) >> 26) + MRS(elr_el1));
    }
}
void second(void) {}

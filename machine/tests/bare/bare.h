// What the programs share: start, serial line, exceptions, page tables, a second processor. Everything is in this one
// header, which each program includes once. Programs begin at `run` on a stack of their own, translation on.
typedef unsigned long u64;
typedef unsigned int u32;

#define PAGE 4096ul
#define MRS(reg) ({ u64 v_; __asm__ volatile("mrs %0, " #reg : "=r"(v_)); v_; })
#define MSR(reg, v) __asm__ volatile("msr " #reg ", %0" : : "r"((u64)(v)) : "memory")
#define DSB() __asm__ volatile("dsb ish" : : : "memory")
#define ISB() __asm__ volatile("isb" : : : "memory")

static void put(char c) { *(volatile u32 *)0x09000000 = c; }
static void print(const char *s) { while (*s) put(*s++); }
static void number(u64 v) {
    char b[24], *p = b + 23;
    *p = 0;
    do { *--p = "0123456789abcdef"[v & 15]; v >>= 4; } while (v);
    print(p);
}
static void report(const char *what, u64 v) { print(what); put(' '); number(v); put('\n'); }

static u64 firmware(u64 f, u64 a, u64 b, u64 c) {
    register u64 x0 __asm__("x0") = f, x1 __asm__("x1") = a, x2 __asm__("x2") = b, x3 __asm__("x3") = c;
    __asm__ volatile("hvc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
static void __attribute__((noreturn)) power_off(void) {
    firmware(0x84000008, 0, 0, 0);
    for (;;) __asm__ volatile("wfi");
}

// Page tables: 4K granule, 48 bits. The lower half has the devices and all RAM by 1 GiB blocks; pages are added below.
static u64 pool[160][512] __attribute__((aligned(4096)));
static u32 used;
static u64 *new_table(void) {
    if (used == 160) { print("no more tables\n"); power_off(); }
    u64 *t = pool[used++];
    for (int i = 0; i < 512; i++) t[i] = 0;
    return t;
}
#define AF (1ul << 10)
#define INNER (3ul << 8)
#define NORMAL (0ul << 2)
#define DEVICE (1ul << 2)
#define USER (1ul << 6)
#define PRIVATE (1ul << 11)
#define PXN (1ul << 53)
#define UXN (1ul << 54)

static u64 *new_space(void) {
    u64 *top = new_table(), *low = new_table();
    top[0] = (u64)low | 3;
    low[0] = 0x00000000 | DEVICE | AF | UXN | PXN | 1;
    low[1] = 0x40000000 | NORMAL | INNER | AF | 1;
    return top;
}
static u64 *entry(u64 *top, u64 va, int level) {
    for (int l = 0; l < level; l++) {
        u64 *e = &top[va >> (39 - 9 * l) & 511];
        if (!(*e & 1)) *e = (u64)new_table() | 3;
        top = (u64 *)(*e & 0xfffffffff000);
    }
    return &top[va >> (39 - 9 * level) & 511];
}
static void map(u64 *top, u64 va, const void *page, u64 flags) {
    *(volatile u64 *)entry(top, va, 3) = (u64)page | flags | INNER | AF | 3;
    DSB();
}
static void flush_page(u64 va) {
    __asm__ volatile("dsb ishst; tlbi vaae1is, %0; dsb ish; isb" : : "r"(va >> 12 & 0xfffffffffff) : "memory");
}
static void sync_code(const void *at, u64 len) {
    for (u64 a = (u64)at & ~63ul; a < (u64)at + len; a += 64)
        __asm__ volatile("dc cvau, %0; dsb ish; ic ivau, %0; dsb ish" : : "r"(a) : "memory");
    ISB();
}

static u64 *lower, *upper;
static void translation_on(void) {
    MSR(mair_el1, 0x00ff);
    MSR(tcr_el1, 16ul | 16ul << 16 | 1ul << 8 | 1ul << 10 | 3ul << 12 | 1ul << 24 | 1ul << 26 | 3ul << 28 | 2ul << 30 |
                     2ul << 32 | 1ul << 36);
    MSR(ttbr0_el1, lower);
    MSR(ttbr1_el1, upper);
    __asm__ volatile("dsb ish; isb; tlbi vmalle1; dsb ish; isb" : : : "memory");
    MSR(sctlr_el1, MRS(sctlr_el1) | 1 | 1 << 2 | 1 << 12 | 1 << 23 | 1 << 26);
    ISB();
}

// A synchronous exception at EL1: what it was, and where to go on: past the instruction, or (with execution state legal
// again) at `fault_next`.
static volatile u64 faults, fault_esr, fault_far, fault_elr, fault_next;
__attribute__((used)) static void on_fault(void) {
    faults++;
    fault_esr = MRS(esr_el1);
    fault_far = MRS(far_el1);
    fault_elr = MRS(elr_el1);
    if (fault_next) {
        MSR(elr_el1, fault_next);
        MSR(spsr_el1, MRS(spsr_el1) & ~(1ul << 20));
        fault_next = 0;
        return;
    }
    if (fault_esr >> 26 != 0x25) {
        report("unexpected exception", fault_esr);
        report("at", fault_elr);
        power_off();
    }
    MSR(elr_el1, fault_elr + 4);
}

// Interrupts at EL1: `on_interrupt` gets the number between acknowledgement and end. GICv3 or GICv2, whichever there is.
static void (*on_interrupt)(u32);
static volatile u32 interrupts, no_end;
#define REG32(at) (*(volatile u32 *)(at))
#define GICD 0x08000000ul
#define GICC 0x08010000ul
#define GICR(cpu) (0x080a0000ul + (cpu) * 0x20000ul)
static int is_gicv2(void) { return REG32(GICD + 0xfe8) >> 4 == 2; }
static u32 acknowledge(void) { return is_gicv2() ? REG32(GICC + 0xc) : MRS(S3_0_C12_C12_0); }
static void end_of(u32 id) {
    if (is_gicv2()) REG32(GICC + 0x10) = id;
    else MSR(S3_0_C12_C12_1, id);
    ISB();
}
__attribute__((used)) static void on_irq(void) {
    u32 id = acknowledge();
    interrupts++;
    if (id < 1020 && on_interrupt) on_interrupt(id);
    if (id < 1020 && !no_end) end_of(id);
}
// Private interrupts of this CPU: all enabled, at priority 0xa0, as IRQs.
static void interrupts_on(u32 cpu) {
    if (is_gicv2()) {
        REG32(GICD) = 1;
        REG32(GICD + 0x100) = ~0u;
        for (u32 i = 0; i < 32; i += 4) REG32(GICD + 0x400 + i) = 0xa0a0a0a0;
        REG32(GICC + 4) = 0xf0;
        REG32(GICC) = 1;
    } else {
        REG32(GICD) = 0x12;
        REG32(GICR(cpu) + 0x14) = 0;
        REG32(GICR(cpu) + 0x10080) = ~0u;
        REG32(GICR(cpu) + 0x10100) = ~0u;
        for (u32 i = 0; i < 32; i += 4) REG32(GICR(cpu) + 0x10400 + i) = 0xa0a0a0a0;
        MSR(S3_0_C4_C6_0, 0xf0);
        MSR(S3_0_C12_C12_7, 1);
    }
    __asm__ volatile("isb; msr daifclr, #2; isb");
}

// Runs EL0 at `entry` with x0 = `a`, x1 = `b` until its SVC; x0 then.
u64 run_el0(u64 entry, u64 a, u64 b);
void run(void);
void second(void);

__attribute__((used)) static void first(void) {
    lower = new_space();
    upper = new_table();
    translation_on();
    run();
    power_off();
}
__attribute__((used)) static void other(void) {
    translation_on();
    second();
    firmware(0x84000002, 0, 0, 0);
}
extern char second_entry[];
static void start_second(void) { firmware(0xc4000003, 1, (u64)second_entry, 0); }

__asm__(".macro enter handler\n sub sp, sp, #192; stp x0, x1, [sp]; stp x2, x3, [sp, #16]; stp x4, x5, [sp, #32]\n"
        "  stp x6, x7, [sp, #48]; stp x8, x9, [sp, #64]; stp x10, x11, [sp, #80]; stp x12, x13, [sp, #96]\n"
        "  stp x14, x15, [sp, #112]; stp x16, x17, [sp, #128]; stp x18, x30, [sp, #144]\n"
        "  mrs x0, elr_el1; mrs x1, spsr_el1; stp x0, x1, [sp, #160]; bl \\handler\n .endm\n"
        ".macro leave\n ldp x0, x1, [sp]; ldp x2, x3, [sp, #16]; ldp x4, x5, [sp, #32]; ldp x6, x7, [sp, #48]\n"
        "  ldp x8, x9, [sp, #64]; ldp x10, x11, [sp, #80]; ldp x12, x13, [sp, #96]; ldp x14, x15, [sp, #112]\n"
        "  ldp x16, x17, [sp, #128]; ldp x18, x30, [sp, #144]; add sp, sp, #192; eret\n .endm\n"
        ".section .text.start, \"ax\"\n"
        ".global _start, second_entry, run_el0\n"
        "_start: mov x0, #3 << 20; msr cpacr_el1, x0; adr x0, vectors; msr vbar_el1, x0; isb\n"
        "  ldr x0, =stacks + 65536; mov sp, x0; b first\n"
        "second_entry: mov x0, #3 << 20; msr cpacr_el1, x0; adr x0, vectors; msr vbar_el1, x0; isb\n"
        "  ldr x0, =stacks + 131072; mov sp, x0; b other\n"
        "run_el0: sub sp, sp, #96; stp x19, x20, [sp]; stp x21, x22, [sp, #16]; stp x23, x24, [sp, #32]\n"
        "  stp x25, x26, [sp, #48]; stp x27, x28, [sp, #64]; stp x29, x30, [sp, #80]\n"
        "  msr elr_el1, x0; msr spsr_el1, xzr; mov x0, x1; mov x1, x2; eret\n"
        "back: ldp x19, x20, [sp]; ldp x21, x22, [sp, #16]; ldp x23, x24, [sp, #32]\n"
        "  ldp x25, x26, [sp, #48]; ldp x27, x28, [sp, #64]; ldp x29, x30, [sp, #80]; add sp, sp, #96; ret\n"
        "at_el1: enter on_fault\n leave\n"
        "at_irq: enter on_irq\n ldp x0, x1, [sp, #160]; msr elr_el1, x0; msr spsr_el1, x1\n leave\n"
        "  .balign 2048\n"
        "vectors: .fill 128, 4, 0xd4200000\n"
        "  b at_el1\n  .balign 128\n  b at_irq\n  .balign 512\n"
        "  b back\n  .balign 512\n"
        "  .bss\n  .balign 16\nstacks: .skip 131072\n  .text\n");

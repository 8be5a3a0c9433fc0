// The interrupt controller, GICv3 or GICv2: SGIs to this CPU and the other one, priorities and preemption, both EOI
// modes, a shared interrupt sent to either CPU.
#include "bare.h"

static volatile u32 order[16], count, hits, ready, running;
static u32 v2;

static void priority(u32 cpu, u32 id, u32 value) {
    u64 at = v2 ? GICD + 0x400 + id : id < 32 ? GICR(cpu) + 0x10400 + id : GICD + 0x400 + id;
    *(volatile unsigned char *)at = value;
}
static void mask(u32 value) {
    if (v2) REG32(GICC + 4) = value;
    else MSR(S3_0_C4_C6_0, value);
    ISB();
}
static void send(u32 cpu, u32 id) {
    DSB();
    if (v2) REG32(GICD + 0xf00) = 1u << (16 + cpu) | id;
    else MSR(S3_0_C12_C11_5, (u64)id << 24 | 1u << cpu);
    ISB();
}
static u32 running_priority(void) { return v2 ? REG32(GICC + 0x14) : MRS(S3_0_C12_C11_3); }
static u32 highest_pending(void) { return v2 ? REG32(GICC + 0x18) & 1023 : MRS(S3_0_C12_C12_2); }
static void split_eoi(u32 on) {
    if (v2) REG32(GICC) = 1 | on << 9;
    else MSR(S3_0_C12_C12_4, on << 1);
    ISB();
}
static void deactivate(u32 id) {
    if (v2) REG32(GICC + 0x1000) = id;
    else MSR(S3_0_C12_C11_1, id);
    ISB();
}
static u32 active(u32 id) { return REG32(v2 ? GICD + 0x300 : GICR(0) + 0x10300) >> id & 1; }
static void settle(void) {
    for (volatile u32 i = 0; i < 200; i++) {}
}

static void handler(u32 id) {
    if (MRS(mpidr_el1) & 1) {
        hits++;
        return;
    }
    order[count++] = id & 1023;
    if ((id & 1023) == 1) {
        running = running_priority();
        send(0, 2);
        send(0, 3);
        __asm__ volatile("msr daifclr, #2; isb; nop; nop; msr daifset, #2; isb");
        order[count++] = 0x100;
    }
}
static void show(const char *what) {
    print(what);
    for (u32 i = 0; i < count; i++) { put(' '); number(order[i]); }
    put('\n');
    count = 0;
}

void run(void) {
    v2 = is_gicv2();
    report("version", v2 ? 2 : 3);
    interrupts_on(0);
    on_interrupt = handler;
    send(0, 5);
    settle();
    show("to itself");
    // Masked by priority: pending, and taken when the mask is lifted.
    mask(0x80);
    send(0, 6);
    settle();
    report("pending", highest_pending());
    show("masked");
    mask(0xf0);
    settle();
    show("unmasked");
    // Handling 1: 2 is more urgent and preempts it; 3 is not.
    priority(0, 2, 0x40);
    send(0, 1);
    settle();
    show("nested");
    report("running", running);
    report("idle", running_priority());
    // The more urgent of two comes first, whatever its number.
    __asm__ volatile("msr daifset, #2; isb");
    send(0, 0);
    send(0, 2);
    __asm__ volatile("msr daifclr, #2; isb");
    settle();
    show("by priority");
    // EOI only drops the priority: others come, the same does not until it is deactivated.
    split_eoi(1);
    send(0, 7);
    settle();
    report("active", active(7));
    send(0, 7);
    send(0, 8);
    settle();
    show("split");
    deactivate(8);
    deactivate(7);
    settle();
    show("deactivated");
    deactivate(7);
    report("inactive", active(7));
    split_eoi(0);
    // Disabled: remembered.
    REG32(v2 ? GICD + 0x180 : GICR(0) + 0x10180) = 1 << 9;
    send(0, 9);
    settle();
    show("disabled");
    REG32(v2 ? GICD + 0x100 : GICR(0) + 0x10100) = 1 << 9;
    settle();
    show("enabled");
    // The other CPU sleeps until it is interrupted.
    start_second();
    while (!ready) __asm__ volatile("yield");
    for (u32 i = 1; i <= 3; i++) {
        send(1, 4);
        while (hits != i) __asm__ volatile("yield");
    }
    // A shared interrupt, made pending by hand: to the other CPU, then to this one.
    REG32(GICD + 0x84) = v2 ? 0 : ~0u;
    priority(0, 40, 0xa0);
    REG32(GICD + 0x104) = 1 << 8;
    for (u32 cpu = 2; cpu-- > 0;) {
        if (v2) *(volatile unsigned char *)(GICD + 0x828) = 1 << cpu;
        else *(volatile u64 *)(GICD + 0x6000 + 40 * 8) = cpu;
        DSB();
        REG32(GICD + 0x204) = 1 << 8;
        settle();
        while (cpu && hits != 4) __asm__ volatile("yield");
    }
    show("shared");
    report("other", hits);
}

void second(void) {
    interrupts_on(1);
    ready = 1;
    for (;;) __asm__ volatile("wfi");
}

// Translation of the upper half by each granule: pages, blocks, contiguous runs, faults with their levels, access flag
// and dirty state, AT, PAN, Device memory. The lower half, where the program runs, stays as it is.
#include "bare.h"

#define DBM (1ul << 51)
#define CONTIGUOUS (1ul << 52)
#define READ_ONLY (1ul << 7)
#define VA 0xffff123456000000ul
static char arena[3 << 20] __attribute__((aligned(65536)));
static u64 arena_used, page_shift;
static volatile u64 big[2 << 17] __attribute__((aligned(2 << 20)));

static u64 *new_granule(void) {
    u64 *t = (u64 *)(arena + arena_used);
    arena_used += 1ul << page_shift;
    if (arena_used > sizeof arena) { print("no more tables\n"); power_off(); }
    for (u64 i = 0; i < 1ul << (page_shift - 3); i++) t[i] = 0;
    return t;
}
static u64 stride(void) { return page_shift - 3; }
static int first_level(void) { return 4 - (48 - page_shift + stride() - 1) / stride(); }
static u64 *top;

// The descriptor of `va` at `level`; tables above it are made.
static volatile u64 *descriptor(u64 va, int level) {
    u64 *t = top;
    for (int l = first_level();; l++) {
        u64 low = page_shift + stride() * (3 - l), index = (va & 0xffffffffffff) >> low & ((1ul << stride()) - 1);
        if (l == level) return &t[index];
        if (!(t[index] & 1)) t[index] = (u64)new_granule() | 3;
        t = (u64 *)(t[index] & 0xffffffffffff & ~((1ul << page_shift) - 1));
    }
}
static void flush(void) { __asm__ volatile("dsb ishst; tlbi vmalle1is; dsb ish; isb" : : : "memory"); }
static void put_page(u64 va, u64 pa, u64 flags) {
    *descriptor(va, 3) = pa | flags | INNER | 3;
    flush();
}
static u64 outcome(u64 before) { return faults == before ? 0 : 0x1000 | (fault_esr & 0x7f); }
static u64 try_read(u64 va) {
    u64 before = faults;
    __asm__ volatile("ldr xzr, [%0]" : : "r"(va) : "memory");
    return outcome(before);
}
static u64 try_write(u64 va) {
    u64 before = faults;
    __asm__ volatile("str xzr, [%0]" : : "r"(va) : "memory");
    return outcome(before);
}
static u64 try_unprivileged(u64 va) {
    u64 before = faults;
    __asm__ volatile("ldtr xzr, [%0]" : : "r"(va) : "memory");
    return outcome(before);
}
#define AT(op, va) ({ __asm__ volatile("at " op ", %0; isb" : : "r"(va) : "memory"); MRS(par_el1); })

static void granule(u64 shift, u64 tg1, const char *name) {
    page_shift = shift;
    arena_used = 0;
    top = new_granule();
    u64 tcr = (MRS(tcr_el1) & ~(3ul << 30 | 3ul << 39)) | tg1 << 30, page = 1ul << shift, bad = 0, pa = (u64)big;
    MSR(tcr_el1, tcr);
    MSR(ttbr1_el1, top);
    flush();
    print(name);
    put('\n');
    report("unmapped", try_read(VA));
    // Each page of a run, by single pages and as one contiguous run.
    u64 run = shift == 12 ? 16 : shift == 14 ? 128 : 32;
    for (u64 flags = 0; flags <= CONTIGUOUS; flags += CONTIGUOUS) {
        u64 at = VA + (flags ? 64 << 20 : 0);
        for (u64 i = 0; i < run; i++) *descriptor(at + i * page, 3) = (pa + i * page) | flags | NORMAL | INNER | AF | UXN | PXN | 3;
        flush();
        for (u64 i = 0; i < run; i++) {
            volatile u64 *word = (volatile u64 *)(at + i * page + page - 8);
            *word = i + flags;
            bad += big[((i + 1) * page - 8) / 8] != i + flags || *word != i + flags;
        }
    }
    report("pages", bad);
    // A block at level 2.
    u64 size = 1ul << (shift + stride()), block = 0xffff200000000000ul;
    *descriptor(block, 2) = (pa & ~(size - 1)) | NORMAL | INNER | AF | UXN | PXN | 1;
    flush();
    big[1234] = 0x77;
    report("block", *(volatile u64 *)(block + (((u64)&big[1234]) & (size - 1))));
    // Faults and their levels.
    *descriptor(block + size, 2) = 1 | NORMAL | AF;
    *descriptor(block + size, 2) = 0;
    report("level 2", try_read(block + size));
    report("level 3", try_write(VA + 300 * page));
    put_page(VA, pa, AF | READ_ONLY);
    report("read only", try_read(VA) << 16 | try_write(VA));
    put_page(VA, pa | 1ul << 45, AF);
    report("address size", try_read(VA));
    put_page(VA, pa, 0);
    report("access flag", try_read(VA));
    *descriptor(VA, 3) = pa | AF | 1;
    flush();
    report("reserved", try_read(VA));
    // A table may take away what its pages allow.
    put_page(VA, pa, AF);
    *descriptor(VA, 2) |= 1ul << 62;
    flush();
    report("by table", try_read(VA) << 16 | try_write(VA));
    *descriptor(VA, 2) &= ~(1ul << 62);
    // AT tells the same without an access.
    put_page(VA, pa, AF | READ_ONLY);
    report("AT", (AT("s1e1r", VA + 8) & 0xfffffffff001) != (pa & ~0xffful));
    report("AT W", AT("s1e1w", VA) & 0x7f);
    report("AT EL0", AT("s1e0r", VA) & 0x7f);
    report("AT unmapped", AT("s1e1r", VA + 300 * page) & 0x7f);
    // PAN keeps EL1 out of what EL0 may read, unless it asks with EL0's rights.
    put_page(VA, pa, AF | USER);
    __asm__ volatile("msr pan, #1" : : : "memory");
    report("PAN", try_read(VA) << 16 | try_unprivileged(VA));
    report("AT PAN", (AT("s1e1r", VA) & 1) << 4 | (AT("s1e1rp", VA) & 1));
    __asm__ volatile("msr pan, #0" : : : "memory");
    report("no PAN", try_read(VA));
    // Device memory takes no unaligned access.
    put_page(VA, pa, AF | DEVICE | UXN | PXN);
    report("device", try_read(VA + 8) << 16 | try_read(VA + 4));
    // Not to be executed at EL1.
    put_page(VA, pa, AF | PXN);
    u64 to;
    __asm__ volatile("adr %0, 1f\n str %0, [%1]\n blr %2\n 1:" : "=&r"(to) : "r"(&fault_next), "r"(VA) : "x30", "memory");
    report("execute", fault_esr >> 26 << 8 | (fault_esr & 0x3f));
    // The hardware sets the access flag; it marks a page dirty on the first write, and not before.
    MSR(tcr_el1, tcr | 3ul << 39);
    put_page(VA, pa, READ_ONLY | DBM);
    report("flag set", try_read(VA) << 8 | (*descriptor(VA, 3) >> 7 & 9));
    report("dirty", try_write(VA) << 8 | (*descriptor(VA, 3) >> 7 & 9));
    put_page(VA, pa, READ_ONLY | AF);
    report("not writable", try_write(VA));
}

void run(void) {
    granule(12, 2, "4K");
    granule(14, 1, "16K");
    granule(16, 3, "64K");
}
void second(void) {}

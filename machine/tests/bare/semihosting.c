// Semihosting: output, a handle, an exit status; and what is not there fails.
#include "bare.h"

static u64 call(u64 op, const void *block) {
    register u64 x0 __asm__("x0") = op;
    register const void *x1 __asm__("x1") = block;
    __asm__ volatile("hlt #0xf000" : "+r"(x0) : "r"(x1) : "memory");
    return x0;
}

void run(void) {
    // Without semihosting the instruction is undefined.
    u64 before = faults;
    u64 open[] = {(u64) ":tt", 4, 3}, other_file[] = {(u64) "abc", 4, 3};
    __asm__ volatile("adr x9, 1f\n str x9, [%0]\n mov w0, #4\n adr x1, 2f\n hlt #0xf000\n b 1f\n 2: .asciz \"hello\\n\"\n"
                     " .balign 4\n 1:" : : "r"(&fault_next) : "x0", "x1", "x9", "memory");
    if (faults != before) {
        report("undefined", fault_esr >> 26);
        return;
    }
    fault_next = 0;
    u64 handle = call(1, open);
    report("handle", handle);
    report("another", call(1, other_file) + 1);
    u64 text[] = {handle, (u64) "world\n", 6};
    report("left", call(5, text));
    report("terminal", call(9, &handle));
    call(3, "!");
    put('\n');
    report("time", call(0x11, 0) + 1);
    u64 exit[] = {0x20026, 42};
    call(0x18, exit);
}
void second(void) {}

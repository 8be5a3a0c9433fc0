// A device writes over code: the host does so when it sees a D on the serial line.
#include "bare.h"

static u32 page[1024] __attribute__((aligned(4096)));
typedef u64 function(void);

void run(void) {
    page[0] = 0xd2800020u; // mov x0, #1
    page[1] = 0xd65f03c0u; // ret
    sync_code(page, 8);
    u64 sum = 0;
    for (u32 i = 0; i < 1000; i++) sum += ((function *)page)();
    report("Device", (u64)page);
    ISB();
    for (u32 i = 0; i < 1000; i++) sum += ((function *)page)();
    report("sum", sum);
}
void second(void) {}

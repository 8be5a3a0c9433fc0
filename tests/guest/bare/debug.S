// Self-hosted debug exceptions: breakpoints, watchpoints and software step, from EL1 and EL0, MMU off.
// Each exception prints what it left: ESR, offset of ELR, SPSR, and FAR where it counts. Runs on any `virt` board.
// The context-aware breakpoints are the last two of six.

#define UART    0x09000000
#define MDE     (1 << 15)
#define KDE     (1 << 13)
#define SS      1
#define BCR_EL1 (1 | 1 << 1 | 0xf << 5)
#define BCR_EL0 (1 | 2 << 1 | 0xf << 5)
#define WCR(pac, lsc, bas) (1 | (pac) << 1 | (lsc) << 3 | (bas) << 5)
#define LOAD    1
#define STORE   2

    .macro say text
    adr     x0, 9f
    bl      puts
    b       8f
9:  .asciz  "\text\n"
    .balign 4
8:
    .endm

    .macro set reg, value
    ldr     x9, =\value
    msr     \reg, x9
    .endm

    // Drops to EL0 at the next instruction with PSTATE bits `spsr` set; `svc #1` comes back.
    .macro to_el0 spsr=0
    adr     x9, 7f
    msr     elr_el1, x9
    ldr     x9, =\spsr
    msr     spsr_el1, x9
    eret
7:
    .endm

    .globl _start
_start:
    adr     x9, stack_top
    mov     sp, x9
    adr     x9, vectors
    msr     vbar_el1, x9
    msr     mdscr_el1, xzr
    msr     cpacr_el1, xzr
    isb
    mrs     x0, id_aa64dfr0_el1
    ldr     x9, =0xf0f0f000
    and     x0, x0, x9
    bl      hex
    bl      newline

    say     "BRK at EL1"
    brk     #0x1234

    say     "locked: nothing"
    mov     x9, #1
    msr     oslar_el1, x9
    adr     x9, one
    msr     dbgbvr0_el1, x9
    set     dbgbcr0_el1, BCR_EL1
    set     mdscr_el1, (MDE | KDE)
    msr     daifclr, #8
    isb
    bl      one

    say     "masked: nothing"
    msr     oslar_el1, xzr
    msr     daifset, #8
    isb
    bl      one

    say     "KDE clear: nothing"
    set     mdscr_el1, MDE
    msr     daifclr, #8
    isb
    bl      one

    say     "breakpoint at EL1"
    set     mdscr_el1, (MDE | KDE)
    isb
    bl      one

    say     "breakpoint for EL0 only: nothing"
    set     dbgbcr0_el1, BCR_EL0
    isb
    bl      one
    msr     dbgbcr0_el1, xzr

    say     "linked breakpoint, wrong context: nothing"
    set     dbgbcr0_el1, (BCR_EL1 | 1 << 20 | 5 << 16)
    set     dbgbvr5_el1, 0x77
    set     dbgbcr5_el1, (1 | 0xf << 5 | 3 << 20)
    set     contextidr_el1, 0x78
    isb
    bl      one
    say     "linked breakpoint, right context"
    set     contextidr_el1, 0x77
    isb
    bl      one
    msr     dbgbcr5_el1, xzr

    say     "store of 8 to 2 watched bytes"
    adr     x1, data
    msr     dbgwvr0_el1, x1
    set     dbgwcr0_el1, WCR(1, STORE, 0x30)
    isb
    str     x1, [x1]
    say     "loads, and a store beside: nothing"
    set     dbgwcr0_el1, WCR(1, STORE, 0x30)
    isb
    ldr     x2, [x1]
    str     w2, [x1]
    strh    w2, [x1, #6]
    say     "load of a pair, second half"
    adr     x3, data + 8
    msr     dbgwvr0_el1, x3
    set     dbgwcr0_el1, WCR(1, LOAD, 0xff)
    isb
    ldp     x4, x5, [x1]
    say     "word-aligned value"
    adr     x3, data + 4
    msr     dbgwvr0_el1, x3
    set     dbgwcr0_el1, WCR(1, STORE, 0x0f)
    isb
    str     w5, [x1]
    str     w5, [x1, #4]
    say     "both kinds, by an atomic"
    msr     dbgwvr0_el1, x1
    set     dbgwcr0_el1, WCR(1, 3, 0xff)
    isb
    ldxr    x4, [x1]
    say     "range of 64 by mask, DC ZVA"
    msr     dbgwvr0_el1, x1
    set     dbgwcr0_el1, (WCR(1, STORE, 0xff) | 6 << 24)
    isb
    strb    w4, [x1, #64]
    dc      cvau, x1
    dc      zva, x1
    say     "unprivileged store, watched for EL0"
    set     dbgwcr0_el1, WCR(2, STORE, 0xff)
    isb
    str     x4, [x1]
    sttr    x4, [x1]
    msr     dbgwcr0_el1, xzr

    say     "single step at EL1"
    mov     x28, #4
    msr     daifset, #8
    set     mdscr_el1, (SS | KDE)
    isb
    adr     x9, 1f
    msr     elr_el1, x9
    ldr     x9, =(1 << 21 | 5)
    msr     spsr_el1, x9
    eret
1:  nop
    add     x4, x4, #1
    ldxr    x5, [x1]
    b       2f
    nop
2:  nop
    msr     daifset, #8

    say     "breakpoint at EL0"
    adr     x9, el0_break
    msr     dbgbvr0_el1, x9
    set     dbgbcr0_el1, BCR_EL0
    set     mdscr_el1, MDE
    isb
    to_el0
    nop
el0_break:
    nop
    svc     #1

    say     "watchpoint at EL0"
    adr     x1, data
    msr     dbgwvr0_el1, x1
    set     dbgwcr0_el1, WCR(2, STORE, 0xff)
    set     mdscr_el1, MDE
    isb
    to_el0
    ldr     x2, [x1]
    strb    w2, [x1, #3]
    svc     #1

    say     "single step at EL0"
    mov     x28, #100
    set     mdscr_el1, SS
    isb
    to_el0  (1 << 21)
    nop
    ldaxr   x5, [x1]
    stlxr   w6, x5, [x1]
    svc     #2
    b       3f
    nop
3:  brk     #7
    udf     #1
    bl      one
    svc     #1

    say     "pending at once"
    mov     x28, #1
    set     mdscr_el1, SS
    isb
    to_el0
    nop
    svc     #1

    say     "step onto a breakpoint, and into a watchpoint"
    mov     x28, #100
    adr     x9, el0_both
    msr     dbgbvr0_el1, x9
    set     dbgbcr0_el1, BCR_EL0
    set     dbgwcr0_el1, WCR(2, STORE, 0xff)
    set     mdscr_el1, (SS | MDE)
    isb
    to_el0  (1 << 21)
    nop
el0_both:
    add     x2, x2, #1
    str     x2, [x1]
    nop
    svc     #1

    say     "without MDSCR.SS: nothing"
    msr     mdscr_el1, xzr
    isb
    to_el0  (1 << 21)
    nop
    svc     #1

    say     "unlocked, at last with a breakpoint, by code that ran often without"
    adr     x9, one
    msr     dbgbvr0_el1, x9
    set     dbgbcr0_el1, BCR_EL1
    msr     daifclr, #8
    mov     x21, #0
    mov     x22, #20
6:  mov     x9, #1
    msr     oslar_el1, x9
    msr     mdscr_el1, x21
    isb
    msr     oslar_el1, xzr
    isb
    bl      one
    subs    x22, x22, #1
    ldr     x9, =(MDE | KDE)
    csel    x21, x9, x21, eq
    b.ge    6b

    say     "done"
    ldr     w0, =0x84000008             // SYSTEM_OFF
    hvc     #0
    b       .

one:
    ret

    .balign 2048
vectors:
    .macro  vector
    .balign 128
    b       handler
    .endm
    .rept   16
    vector
    .endr

handler:
    sub     sp, sp, #64
    stp     x0, x1, [sp]
    stp     x9, x10, [sp, #16]
    stp     x11, x30, [sp, #32]
    mrs     x11, esr_el1
    lsr     x11, x11, #26
    // A call to come back says nothing.
    mrs     x0, esr_el1
    ldr     x9, =0x56000001
    cmp     x0, x9
    b.eq    back
    bl      hex
    mrs     x0, elr_el1
    adr     x9, _start
    sub     x0, x0, x9
    bl      hex
    mrs     x0, spsr_el1
    bl      hex
    and     x9, x11, #0x3e
    cmp     x9, #0x34
    b.ne    1f
    mrs     x0, far_el1
    adr     x9, _start
    sub     x0, x0, x9
    bl      hex
1:  bl      newline
    and     x9, x11, #0x3e
    cmp     x9, #0x30
    b.eq    breakpoint
    cmp     x9, #0x32
    b.eq    step
    cmp     x9, #0x34
    b.eq    watchpoint
    cmp     x9, #0x3c
    b.eq    skip
    cbz     x9, skip
    b       leave
breakpoint:
    msr     dbgbcr0_el1, xzr
    b       leave
watchpoint:
    msr     dbgwcr0_el1, xzr
    b       leave
step:
    subs    x28, x28, #1
    b.ne    again
    msr     mdscr_el1, xzr
    b       leave
again:
    mrs     x9, spsr_el1
    orr     x9, x9, #1 << 21
    msr     spsr_el1, x9
    b       leave
skip:
    mrs     x9, elr_el1
    add     x9, x9, #4
    msr     elr_el1, x9
    b       leave
back:
    msr     mdscr_el1, xzr
    mov     x9, #0x3c5
    msr     spsr_el1, x9
leave:
    isb
    ldp     x0, x1, [sp]
    ldp     x9, x10, [sp, #16]
    ldp     x11, x30, [sp, #32]
    add     sp, sp, #64
    eret

// Prints the text at x0.
puts:
    ldr     x10, =UART
1:  ldrb    w9, [x0], #1
    cbz     w9, 2f
    str     w9, [x10]
    b       1b
2:  ret

// Prints x0's low half and a blank.
hex:
    ldr     x10, =UART
    mov     w1, #28
1:  lsr     w9, w0, w1
    and     w9, w9, #15
    cmp     w9, #10
    add     w9, w9, #'0'
    b.lo    2f
    add     w9, w9, #('a' - '0' - 10)
2:  str     w9, [x10]
    subs    w1, w1, #4
    b.ge    1b
    mov     w9, #' '
    str     w9, [x10]
    ret

newline:
    ldr     x10, =UART
    mov     w9, #10
    str     w9, [x10]
    ret

    .ltorg
    .balign 128
data:
    .space  256
    .balign 16
    .space  1024
stack_top:

// Two CPUs that loop until somebody sets `flag`: for a debugger that comes to a machine which runs already.
// Each counts its rounds in x19, and in x20 those since somebody has put `add x20, x20, #1` at `patch`.

#define UART    0x09000000

    .globl _start, loop, patch, flag
_start:
    ldr     x0, =0xc4000003             // CPU_ON
    mov     x1, #1
    adr     x2, second
    mov     x3, #0
    hvc     #0
second:
    mov     x19, #0
    mov     x20, #0
loop:
    add     x19, x19, #1
patch:
    nop
    adr     x1, flag
    ldr     w0, [x1]
    cbz     w0, loop

    mrs     x0, mpidr_el1
    tst     x0, #0xff
    b.ne    2f
    adr     x0, text
    ldr     x10, =UART
1:  ldrb    w9, [x0], #1
    cbz     w9, 3f
    str     w9, [x10]
    b       1b
3:  ldr     w0, =0x84000008             // SYSTEM_OFF
    hvc     #0
2:  wfi
    b       2b

text:
    .asciz  "done\n"
    .balign 64
flag:
    .word   0

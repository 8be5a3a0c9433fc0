/* A big switch: an interpreter of a small register machine running a sieve. argv[1]: runs. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { LI, MOV, ADD, SUB, MUL, AND, OR, XOR, SHL, SHR, LD, ST, JMP, JZ, JNZ, JLT, INC, DEC, NOT, CMP, OUT, HALT };
struct insn { uint8_t op, a, b; int16_t imm; };

/* r0 limit, r1 i, r2 j, r3 value, r4 count */
static const struct insn sieve[] = {
    { LI, 0, 0, 1000 }, { LI, 1, 0, 2 }, { LI, 4, 0, 0 },
    /* 3 */ { LD, 3, 1, 0 }, { JNZ, 3, 0, 12 }, { INC, 4, 0, 0 }, { MOV, 2, 1, 0 },
    /* 7 */ { ADD, 2, 1, 0 }, { JLT, 0, 2, 12 }, { LI, 3, 0, 1 }, { ST, 3, 2, 0 }, { JMP, 0, 0, 7 },
    /* 12 */ { INC, 1, 0, 0 }, { JLT, 1, 0, 3 }, { OUT, 4, 0, 0 }, { XOR, 5, 4, 0 }, { SHL, 5, 0, 1 }, { NOT, 6, 5, 0 },
    { MUL, 6, 4, 0 }, { AND, 6, 6, 0 }, { OR, 6, 5, 0 }, { SUB, 6, 1, 0 }, { SHR, 6, 0, 3 }, { DEC, 6, 0, 0 }, { CMP, 7, 6, 5 },
    { HALT, 0, 0, 0 },
};

static uint32_t run(uint32_t *steps) {
    static uint32_t memory[1024];
    uint32_t r[8] = { 0 }, out = 0;
    for (int i = 0; i < 1024; i++) memory[i] = 0;
    for (const struct insn *i = sieve;; ++*steps) {
        uint32_t *a = &r[i->a], b = r[i->b];
        switch (i->op) {
        case LI: *a = (uint32_t)i->imm; break;
        case MOV: *a = b; break;
        case ADD: *a += b; break;
        case SUB: *a -= b; break;
        case MUL: *a *= b; break;
        case AND: *a &= b; break;
        case OR: *a |= b; break;
        case XOR: *a ^= b; break;
        case SHL: *a <<= i->imm; break;
        case SHR: *a >>= i->imm; break;
        case LD: *a = memory[b & 1023]; break;
        case ST: memory[b & 1023] = *a; break;
        case JMP: i = sieve + i->imm; continue;
        case JZ: if (*a == 0) { i = sieve + i->imm; continue; } break;
        case JNZ: if (*a != 0) { i = sieve + i->imm; continue; } break;
        case JLT: if (*a < b) { i = sieve + i->imm; continue; } break;
        case INC: ++*a; break;
        case DEC: --*a; break;
        case NOT: *a = ~b; break;
        case CMP: *a = (b > (uint32_t)i->imm) - (b < (uint32_t)i->imm); break;
        case OUT: out = out * 31 + *a; break;
        case HALT: return out ^ r[6] ^ r[7];
        }
        i++;
    }
}

int main(int argc, char **argv) {
    int runs = argc > 1 ? atoi(argv[1]) : 5;
    uint32_t steps = 0, sum = 0;
    for (int i = 0; i < runs; i++) sum += run(&steps);
    printf("machine %u steps %08x\n", steps, sum);
    return 0;
}

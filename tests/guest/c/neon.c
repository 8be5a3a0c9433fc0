/* NEON intrinsics: every kind of vector instruction once, on a running state. */
#include <arm_neon.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint64_t sum;
static void mix(const void *p, size_t n) {
    const uint8_t *b = p;
    while (n--) sum = (sum ^ *b++) * 0x100000001b3ull;
}
#define SHOW(name, v)                                              \
    do {                                                           \
        __typeof__(v) value_ = (v);                                \
        mix(&value_, sizeof value_);                               \
        printf("%-10s %016llx\n", name, (unsigned long long)sum); \
    } while (0)

static void integers(uint8x16_t a, uint8x16_t b) {
    int16x8_t h = vreinterpretq_s16_u8(a), g = vreinterpretq_s16_u8(b);
    int32x4_t s = vreinterpretq_s32_u8(a), t = vreinterpretq_s32_u8(b);
    int64x2_t d = vreinterpretq_s64_u8(a), e = vreinterpretq_s64_u8(b);
    SHOW("add", vaddq_u8(a, b));
    SHOW("qadd", vqaddq_s16(h, g));
    SHOW("qsub", vqsubq_u8(a, b));
    SHOW("hadd", vhaddq_s32(s, t));
    SHOW("rhadd", vrhaddq_u8(a, b));
    SHOW("abd", vabdq_s16(h, g));
    SHOW("aba", vabaq_u8(a, a, b));
    SHOW("mul", vmulq_s32(s, t));
    SHOW("mla", vmlaq_s16(h, g, h));
    SHOW("mull", vmull_s16(vget_low_s16(h), vget_high_s16(g)));
    SHOW("qdmulh", vqdmulhq_s32(s, t));
    SHOW("qrdmulh", vqrdmulhq_lane_s16(h, vget_low_s16(g), 2));
    SHOW("qdmlal", vqdmlal_s16(s, vget_low_s16(h), vget_low_s16(g)));
    SHOW("max", vmaxq_s8(vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b)));
    SHOW("pmin", vpminq_u8(a, b));
    SHOW("paddl", vpaddlq_u8(a));
    SHOW("padal", vpadalq_s16(s, h));
    SHOW("addv", vaddvq_s32(s));
    SHOW("maxv", vmaxvq_u8(a));
    SHOW("addlv", vaddlvq_s16(h));
    SHOW("cmgt", vcgtq_s64(d, e));
    SHOW("cmtst", vtstq_u8(a, b));
    SHOW("bsl", vbslq_u8(vcgtq_u8(a, b), a, b));
    SHOW("shl", vshlq_s16(h, vnegq_s16(vandq_s16(g, vdupq_n_s16(7)))));
    SHOW("qrshl", vqrshlq_u8(a, vdupq_n_s8(3)));
    SHOW("rshr", vrshrq_n_s32(s, 5));
    SHOW("sra", vsraq_n_u8(a, b, 3));
    SHOW("sli", vsliq_n_s64(d, e, 17));
    SHOW("sri", vsriq_n_u8(a, b, 2));
    SHOW("shll", vshll_n_s8(vget_low_s8(vreinterpretq_s8_u8(a)), 4));
    SHOW("shrn", vshrn_n_s32(s, 7));
    SHOW("qrshrun", vqrshrun_n_s16(h, 3));
    SHOW("qmovn", vqmovn_s64(d));
    SHOW("addhn", vraddhn_s32(s, t));
    SHOW("clz", vclzq_s32(s));
    SHOW("cnt", vcntq_u8(a));
    SHOW("rbit", vrbitq_u8(a));
    SHOW("rev64", vrev64q_s16(h));
    SHOW("qabs", vqabsq_s8(vreinterpretq_s8_u8(a)));
    SHOW("pmul", vmulq_p8(vreinterpretq_p8_u8(a), vreinterpretq_p8_u8(b)));
}

static void permutes(uint8x16_t a, uint8x16_t b) {
    SHOW("zip1", vzip1q_u8(a, b));
    SHOW("uzp2", vuzp2q_u16(vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b)));
    SHOW("trn1", vtrn1q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
    SHOW("ext", vextq_u8(a, b, 5));
    uint8x16x2_t two = { { a, b } };
    SHOW("tbl2", vqtbl2q_u8(two, vandq_u8(b, vdupq_n_u8(0x3f))));
    SHOW("tbx1", vqtbx1q_u8(a, b, vandq_u8(a, vdupq_n_u8(0x1f))));
    SHOW("dup", vdupq_laneq_u16(vreinterpretq_u16_u8(a), 5));
    SHOW("ins", vcopyq_laneq_u32(vreinterpretq_u32_u8(a), 1, vreinterpretq_u32_u8(b), 2));
    uint8_t memory[64];
    uint8x16x4_t four = { { a, b, veorq_u8(a, b), vornq_u8(a, b) } };
    vst4q_u8(memory, four);
    mix(memory, sizeof memory);
    uint8x16x3_t three = vld3q_u8(memory);
    SHOW("ld3", three);
    uint32x4x2_t pair = vld2q_u32((uint32_t *)memory);
    SHOW("ld2", pair);
    uint16x4_t lane = vld1_lane_u16((uint16_t *)(memory + 6), vget_low_u16(vreinterpretq_u16_u8(a)), 3);
    SHOW("ld1lane", lane);
    SHOW("ld1r", vld1q_dup_u64((uint64_t *)(memory + 8)));
}

static void floats(float32x4_t a, float32x4_t b, float64x2_t c) {
    SHOW("fadd", vaddq_f32(a, b));
    SHOW("fmul", vmulq_laneq_f32(a, b, 3));
    SHOW("fma", vfmaq_f32(a, b, a));
    SHOW("fmls", vfmsq_f64(c, c, vdupq_n_f64(0.3)));
    SHOW("fdiv", vdivq_f32(a, b));
    SHOW("fsqrt", vsqrtq_f32(vabsq_f32(a)));
    SHOW("fmaxnm", vmaxnmq_f32(a, b));
    SHOW("faddp", vpaddq_f32(a, b));
    SHOW("fminv", vminvq_f32(a));
    SHOW("fcmge", vcgeq_f32(a, b));
    SHOW("facgt", vcagtq_f32(a, b));
    SHOW("fcvtzs", vcvtq_s32_f32(vmulq_n_f32(a, 1000)));
    SHOW("fcvtn", vcvt_f32_f64(c));
    SHOW("fcvtl", vcvt_f64_f32(vget_low_f32(a)));
    SHOW("ucvtf", vcvtq_n_f32_u32(vreinterpretq_u32_f32(b), 7));
    SHOW("frinta", vrndaq_f32(vmulq_n_f32(a, 10)));
    SHOW("frecpe", vrecpeq_f32(a));
    SHOW("frsqrts", vrsqrtsq_f32(a, b));
}

int main(void) {
    uint8_t x[16], y[16];
    for (int i = 0; i < 16; i++) x[i] = (uint8_t)(i * 37 + 11), y[i] = (uint8_t)(250 - i * 29);
    for (int round = 0; round < 3; round++) {
        uint8x16_t a = vld1q_u8(x), b = vld1q_u8(y);
        integers(a, b);
        permutes(a, b);
        float f[8];
        for (int i = 0; i < 8; i++) f[i] = (float)(x[i] - 100) / (float)(y[i] | 1);
        floats(vld1q_f32(f), vld1q_f32(f + 4), vdupq_n_f64(f[2] * 1.1));
        memcpy(x, &sum, 8);
        memcpy(y + 8, &sum, 8);
    }
    return 0;
}

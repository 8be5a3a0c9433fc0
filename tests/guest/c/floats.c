/* Corners of floating point: classes, rounding modes, exception flags, conversions, the C library's functions. */
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const double D[] = { 0.0,   -0.0, 1.0,     -1.0,    0.1,       1.5,     2.5,          1e300,
                            1e-300, 5e-324, DBL_MAX, DBL_MIN, -INFINITY, INFINITY, 4503599627370497.5, -0.49999999999999994 };
static const float F[] = { 0.0f, -0.0f, 1.0f, 0.1f, -3.5f, 1e38f, 1e-45f, FLT_MAX, FLT_MIN, -INFINITY, 16777217.0f, 0.5f };

static uint64_t bits(double d) {
    uint64_t u;
    memcpy(&u, &d, 8);
    return u;
}
static uint32_t bitsf(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static void pairs(const char *mode) {
    uint64_t sum = 0;
    uint32_t sumf = 0;
    feclearexcept(FE_ALL_EXCEPT);
    for (unsigned i = 0; i < sizeof D / sizeof *D; i++)
        for (unsigned j = 0; j < sizeof D / sizeof *D; j++) {
            volatile double a = D[i], b = D[j];
            double r[] = { a + b, a - b, a * b, a / b, fma(a, b, 0.3), sqrt(a), fmin(a, b), fmax(a, b) };
            for (unsigned k = 0; k < 8; k++) sum = sum * 0x100000001b3ull ^ (isnan(r[k]) ? 1 : bits(r[k]));
            sum += (a < b) + 2 * (a <= b) + 4 * (a == b) + 8 * isunordered(a, b);
        }
    for (unsigned i = 0; i < sizeof F / sizeof *F; i++)
        for (unsigned j = 0; j < sizeof F / sizeof *F; j++) {
            volatile float a = F[i], b = F[j];
            float r[] = { a + b, a - b, a * b, a / b, fmaf(a, b, 0.3f), sqrtf(a) };
            for (unsigned k = 0; k < 6; k++) sumf = sumf * 16777619u ^ (isnan(r[k]) ? 1 : bitsf(r[k]));
        }
    printf("%-10s %016llx %08x flags %x\n", mode, (unsigned long long)sum, sumf, fetestexcept(FE_ALL_EXCEPT));
}

static void flag(const char *what, volatile double a, volatile double b, char op) {
    feclearexcept(FE_ALL_EXCEPT);
    volatile double r = op == '+' ? a + b : op == '*' ? a * b : op == '/' ? a / b : (double)(int)a;
    int f = fetestexcept(FE_ALL_EXCEPT);
    printf("%s: %g%s%s%s%s%s\n", what, r, f & FE_INVALID ? " invalid" : "", f & FE_DIVBYZERO ? " div0" : "",
           f & FE_OVERFLOW ? " overflow" : "", f & FE_UNDERFLOW ? " underflow" : "", f & FE_INEXACT ? " inexact" : "");
}

int main(void) {
    static const struct {
        const char *name;
        int mode;
    } modes[] = { { "nearest", FE_TONEAREST }, { "up", FE_UPWARD }, { "down", FE_DOWNWARD }, { "zero", FE_TOWARDZERO } };
    for (int m = 0; m < 4; m++) {
        fesetround(modes[m].mode);
        pairs(modes[m].name);
        for (int i = 0; i < 6; i++) printf("%ld ", lrint(D[i + 2] * 3.7));
        printf("%a %a\n", rint(2.5), (double)(float)0.1);
    }
    fesetround(FE_TONEAREST);
    flag("one third", 1, 3, '/');
    flag("by zero", 1, 0, '/');
    flag("zero by zero", 0, 0, '/');
    flag("overflow", DBL_MAX, 2, '*');
    flag("underflow", DBL_MIN, DBL_MIN, '*');
    flag("exact", 2, 3, '*');
    flag("to int", 1e10, 0, 'i');
    for (unsigned i = 0; i < sizeof D / sizeof *D; i++) {
        volatile double d = D[i];
        printf("%.17g %a %e %g | %d %u %lld %llu | %.3f %.0f\n", d, d, d, d, (int)d, (unsigned)(d > 0 ? d : 0), (long long)d,
               (unsigned long long)(d > 0 ? d : 0), d < 1e20 && d > -1e20 ? d : 0, d < 1e20 && d > -1e20 ? d : 0);
    }
    for (double x = -2; x <= 2; x += 0.37)
        printf("%.15g %.15g %.15g %.15g %.15g %.15g\n", sin(x), exp(x), atan2(x, 0.5), log(x * x), cbrt(x), tgamma(x + 4));
    printf("%.12g %.12g %d %d\n", fmod(10, 3.3), remainder(10, 3.3), ilogb(1e10), (int)nearbyint(-2.5));
    volatile int64_t big = INT64_MIN + 1;
    volatile uint64_t ubig = UINT64_MAX;
    printf("%.17g %.9g %.17g %.9g\n", (double)big, (float)big, (double)ubig, (float)ubig);
    volatile long double q = 1.0L;
    for (int i = 0; i < 20; i++) q = q / 3 + 1;
    printf("%.30Lg\n", q);
    return 0;
}

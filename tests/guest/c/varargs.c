/* Variable arguments of every class, more than fit in registers; structures by value. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

struct pair { int64_t a, b; };
struct big { int v[9]; };
struct hfa { float x, y, z; };

__attribute__((noinline)) static double sum(const char *kinds, ...) {
    va_list ap, copy;
    va_start(ap, kinds);
    va_copy(copy, ap);
    double total = 0;
    for (int pass = 1; pass <= 2; pass++) {
        va_list *list = pass == 1 ? &ap : &copy;
        for (const char *k = kinds; *k; k++) switch (*k) {
            case 'i': total += pass * va_arg(*list, int); break;
            case 'l': total += (double)va_arg(*list, long long); break;
            case 'd': total += va_arg(*list, double); break;
            case 'q': total += (double)va_arg(*list, long double); break;
            case 's': total += va_arg(*list, const char *)[0]; break;
            case 'p': { struct pair p = va_arg(*list, struct pair); total += (double)(p.a - p.b); break; }
            case 'b': { struct big b = va_arg(*list, struct big); total += b.v[0] + b.v[8]; break; }
            case 'h': { struct hfa h = va_arg(*list, struct hfa); total += h.x + h.y * h.z; break; }
            }
    }
    va_end(copy);
    va_end(ap);
    return total;
}

__attribute__((noinline)) static struct hfa scale(struct hfa h, float f) { return (struct hfa){ h.x * f, h.y * f, h.z * f }; }
__attribute__((noinline)) static struct big shift(struct big b, int n, ...) {
    for (int i = 0; i < 9; i++) b.v[i] += n;
    return b;
}

int main(void) {
    struct pair p = { 100, 1 };
    struct big b = { { 1, 2, 3, 4, 5, 6, 7, 8, 9 } };
    struct hfa h = { 1.5f, 2.5f, 3.5f };
    printf("%.3f\n", sum("iiiiiiiiii", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
    printf("%.3f\n", sum("dddddddddd", 1., 2., 3., 4., 5., 6., 7., 8., 9., 10.5));
    printf("%.3f\n", sum("idlqspbh", 1, 2.5, 3ll, 4.25L, "A", p, b, h));
    printf("%.3f\n", sum("pppppihhhdq", p, p, p, p, p, 7, h, h, h, 0.125, 1e10L));
    struct hfa s = scale(h, 2);
    struct big t = shift(b, 10, 1.0, "x");
    printf("%g %g %g %d %d\n", s.x, s.y, s.z, t.v[0], t.v[8]);
    char buffer[128];
    int n = snprintf(buffer, sizeof buffer, "%d %s %.2f %lld %c %Lf", 1, "two", 3.0, 4ll, '5', 6.5L);
    printf("%d [%s]\n", n, buffer);
    return 0;
}
